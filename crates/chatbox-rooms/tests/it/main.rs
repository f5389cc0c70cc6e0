//! Rooms driven as a transport drives them, in paused time, over stores that obey, fail, hang and are written to by others.

mod drain;
mod faults;
mod harness;
mod joins;
mod sends;
mod slow;
