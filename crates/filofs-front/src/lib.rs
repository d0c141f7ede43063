//! The front ends of filo: each turns the requests of somebody (the Linux kernel, a program that
//! links us) into operations of a [`filofs::Mount`].

pub mod area;
pub mod fuse;
pub mod local;
pub mod nouns;
