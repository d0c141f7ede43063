"""Two processes and one flock: as soon as the one has closed the file, the other takes the lock
without waiting. Takes the path of the file and the number of rounds; prints in how many the other
was refused."""

import fcntl
import os
import signal
import sys

path, rounds = sys.argv[1], int(sys.argv[2])
signal.alarm(60)
other = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
goes, go = os.pipe()
done, tell = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os.close(go)
    refused = 0
    while os.read(goes, 1):
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refused += 1
        fcntl.flock(other, fcntl.LOCK_UN)
        os.write(tell, b"x")
    print(refused, flush=True)
    os._exit(0)
os.close(tell)
for _ in range(rounds):
    one = os.open(path, os.O_RDWR)
    fcntl.flock(one, fcntl.LOCK_EX)
    os.close(one)
    os.write(go, b"x")
    if not os.read(done, 1):
        sys.exit("the other has ended")
os.close(go)
os.waitpid(child, 0)
