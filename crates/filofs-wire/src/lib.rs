//! The FUSE protocol, version 7.45, as bytes.
//!
//! This crate knows how messages look, and nothing else: it does no I/O, starts no thread, and
//! depends on no other crate of ours. What a message *means* is the front end's business.
//!
//! # The parts
//!
//! | module | what |
//! |---|---|
//! | [`abi`] | the structures, opcodes and flags of `linux/fuse.h`, offsets checked |
//! | [`request`] | bytes to [`Request`](request::Request): names and data borrowed |
//! | [`reply`] | answers: header and fixed structure by value, no allocation |
//! | [`dirent`] | directory buffers, written in place |
//! | [`notify`] | messages nobody asked for: invalidate, store, wake a poll, resend |
//! | [`call`] | what a server asks the core (extension) |
//! | [`name`] | the one-component [`Name`](name::Name) that the parser promises |
//! | [`dialect`] | what INIT settled: the minor version and the flags that change layouts |
//! | [`compose`] | requests as bytes: the mirror of [`request`] |
//! | [`incoming`] | what a file server sends: replies, notifications, calls |
//! | [`arguments`] | what a file server says of its file system when it is mounted, checked |
//! | [`errno`] | the error numbers a reply may carry |
//! | [`limits`] | the largest sizes and counts that are accepted |
//!
//! # The two directions
//!
//! The same structures serve both ends: toward Linux a process parses requests and writes replies;
//! a process that plays the kernel toward a file server writes requests and parses replies. Which
//! structures, names and data a request consists of is told by
//! [`Operation`](request::Operation), which both ends share; what answers it, by
//! [`abi::Opcode::answer`].
//!
//! # The extension
//!
//! What puffs has and FUSE lacks (durable names, the unmount question, a sync that nobody waits
//! for, notices of what a server did wrong, calls of the server to the core) is agreed on in INIT
//! between peers that both know it, with opcodes of its own from [`abi::Opcode::EXTENSION`] on.
//! Linux never sees any of it.
//!
//! # Trust
//!
//! A request comes from another process and is parsed, never believed: no bytes make the parser
//! panic, every length is compared with the bytes that are really there, every count has a limit
//! ([`limits`]), and a name that comes out has one component. A bad message is a
//! [`Malformed`](request::Malformed), which knows whom to answer and with which errno.
//!
//! # Versions
//!
//! Everything is as of 7.45 (Linux 6.18), and spoken down to 7.31 (2019). Replies have had today's
//! sizes since 7.23, so that no older layout needs code; and a kernel before 7.31 lacks what makes
//! a front end worth having (large requests, cached links, invalidation only on request). An older
//! peer is refused in INIT ([`dialect::Dialect::negotiate`]).
//!
//! # References
//!
//! `include/uapi/linux/fuse.h` of the Linux kernel; fuse(4).

#![forbid(unsafe_code)]

pub mod abi;
pub mod arguments;
pub mod call;
pub mod compose;
pub mod dialect;
pub mod dirent;
pub mod errno;
pub mod incoming;
pub mod limits;
pub mod name;
pub mod notify;
pub mod reply;
pub mod request;
