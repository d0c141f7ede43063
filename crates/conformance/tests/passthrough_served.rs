//! Data that the kernel reads and writes by itself, in a file of the host that a file server gives.

#[path = "passthrough.rs"]
mod passthrough;
