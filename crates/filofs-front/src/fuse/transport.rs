//! Which transport a mount has: what was asked for, what the machine can, what the kernel offers.

use super::cpus;
use super::device::Device;
use super::{FuseOptions, Transport};

/// The transport of one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Chosen {
    /// A ring with so many queues.
    Ring(usize),
    /// The device alone, and why.
    Classic(String),
}

impl Chosen {
    /// Before the kernel was heard.
    pub(super) fn choose(options: &FuseOptions, device: &Device) -> Chosen {
        let possible = cpus::possible();
        let queues = possible.unwrap_or(1);
        let auto = options.transport == Transport::Auto;
        let why = if options.transport == Transport::Classic {
            "asked for"
        } else if device.is_socket() {
            "a socket"
        } else if options.most_workers < 2 * queues || queues > usize::from(u16::MAX) {
            // One for each queue, and as many for what takes its time.
            "fewer workers than a ring takes"
        } else if possible.is_none() {
            // The kernel waits for as many queues.
            "how many CPUs there can be is not known"
        } else if auto && queues == 1 {
            "there is one CPU"
        } else if !cpus::all_allowed() {
            // Each queue is served on its CPU. And who asks is mostly on the one that we may use,
            // where reading the device is faster.
            "not all CPUs may be used"
        } else {
            return Chosen::Ring(queues);
        };
        let mut chosen = Chosen::Ring(queues);
        chosen.fall_back(options, why);
        chosen
    }

    /// How many queues, if there are any.
    pub(super) const fn queues(&self) -> Option<usize> {
        match self {
            Chosen::Ring(queues) => Some(*queues),
            Chosen::Classic(_) => None,
        }
    }

    /// There is no ring after all. Somebody who has asked for one is told.
    pub(super) fn fall_back(&mut self, options: &FuseOptions, why: &str) {
        if options.transport == Transport::Ring {
            log::warn!("transport=ring: {why}; requests come through the device");
        }
        *self = Chosen::Classic(why.to_owned());
    }
}

impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Chosen::Ring(queues) => write!(f, "ring ({queues} queues)"),
            Chosen::Classic(why) => write!(f, "classic ({why})"),
        }
    }
}
