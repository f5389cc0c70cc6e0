//! The chatbox program.
fn main() {}
