//! A core that sends anything.

use crate::core::{Core, FOREVER, Heard};
use crate::toy::Toy;
use filofs_server::serve::Server;
use filofs_wire::abi::{CALL_ID, GetattrIn, InHeader, Opcode, ROOT_ID};
use filofs_wire::request::Operation;
use std::time::Instant;

/// Numbers that look random; the same ones for the same seed.
struct Dice(u64);

impl Dice {
    /// From FILO_SEED, or new each time. Printed, so that a failure can be repeated.
    fn new() -> Dice {
        let seed = std::env::var("FILO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(|| filofs::Time::now().nanos.into());
        println!("FILO_SEED={seed}");
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[(self.next() % of.len() as u64) as usize]
    }
}

#[test]
fn noise_over_the_extension_harms_nobody() {
    const MESSAGES: usize = 20_000;
    let (mut core, session, _) = Core::with(Toy::new().0, &Server::new().threads(4));
    let mut dice = Dice::new();
    for number in 0..MESSAGES as u64 {
        let opcode = dice.one(Opcode::ALL) as u32;
        let opcode = if dice.one(&[false, false, false, true]) { opcode ^ 1 } else { opcode };
        let size = dice.one(&[0, 4, 8, 16, 24, 32, 40, 64, 104]);
        let body: Vec<u8> = (0..size)
            .map(|_| match dice.one(&[0, 1, 2]) {
                0 => 0,
                1 => dice.next() as u8 % 16,
                _ => dice.next() as u8,
            })
            .collect();
        // Sometimes a length that is not its own.
        let len = size_of::<InHeader>() as u32 + size + dice.one(&[0, 0, 0, 0, 0, 0, 0, 1]);
        let id = dice.one(&[0, 0, 0, CALL_ID]);
        let header = InHeader {
            len,
            opcode,
            unique: id | (1000 + number * 2),
            nodeid: dice.one(&[0, 1, 2, 3, u64::MAX]),
            uid: 1,
            total_extlen: dice.one(&[0, 0, 0, 0, 0, 1, u16::MAX]),
            ..InHeader::default()
        };
        core.raw(&[crate::core::bytes_of(&header), &body].concat());
        while core.has_word() {
            core.hear().expect("the server stays");
        }
    }
    // It is all there, and answers.
    let arg = GetattrIn::default();
    let unique = core.send(ROOT_ID, &Operation::Getattr { arg });
    let end = Instant::now() + FOREVER;
    loop {
        assert!(Instant::now() < end, "no answer");
        match core.hear() {
            Some(Heard::Reply(answered, error, _)) if answered == unique => {
                break assert_eq!(error, 0);
            }
            Some(_) => {}
            None => panic!("the server has gone"),
        }
    }
    drop(core);
    let report = session.wait();
    assert!(report.served >= MESSAGES as u64 && !report.aborted);
}
