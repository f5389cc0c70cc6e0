//! What clients can cost at most: the bounds that attacks are held to, and the table of them in `docs/security.md`.

use super::bystanders::Bystanders;
use super::document::{COSTS, compare};
use chatbox::LimitsConfig;
use chatbox_rooms::Options;
use chatbox_store::MAX_READ_BYTES;
use std::fmt::Write;

const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;

/// Memory of the program without clients: text and data of a build with debug information, threads, the store.
const PROGRAM: u64 = 40 * MIB;

/// One WebSocket connection that does nothing.
const IDLE: u64 = KIB;

/// What a session has read and cannot use yet, and what it has taken and its peer does not take.
const BACKLOG: u64 = 64 * KIB;
const BATCH: u64 = 128 * KIB;

/// One HTTP connection before its upgrade: a head, an answer.
const HEAD: u64 = 64 * KIB;

/// What is owed for each message on its way to the store: so many fit into an outbox.
const ANSWER: u64 = 384;

/// Where a page of history ends, how many of them there are at once, and how many of one user.
const PAGE: u64 = 256 * KIB;
const PAGES: u64 = 64;
const PAGES_OF_USER: u64 = 4;

/// The bounds with the limits that the program has by default, in bytes.
struct Costs {
    message: u64,
    outbox: u64,
    /// One read of the store.
    read: u64,
    connection: u64,
    room: u64,
    rooms: u64,
    /// What one connection can have on its way to the store, and what all can.
    sender: u64,
    senders: u64,
    page: u64,
}

impl Costs {
    fn by_default() -> Self {
        let (limits, options) = (LimitsConfig::default(), Options::default());
        let bytes = |size: usize| u64::try_from(size).unwrap();
        let (message, outbox) = (bytes(limits.max_message_bytes.get()), bytes(limits.outbox_bytes.get()));
        let read = bytes(MAX_READ_BYTES);
        Self {
            message,
            outbox,
            read,
            connection: IDLE + 2 * message + BACKLOG + BATCH + outbox + message + read,
            room: bytes(options.ring_bytes()),
            rooms: bytes(limits.rings_bytes.get()),
            sender: outbox / ANSWER * message,
            senders: bytes(options.queue_bytes()),
            page: PAGE + 2 * read,
        }
    }

    fn table(&self) -> String {
        let Self { message, outbox, read, .. } = *self;
        let connection = format!(
            "a connection at worst: a message arriving (2 × {}, `limits.max_message_bytes`), {} that were read and wait, a batch of {} \
             that is not taken, {} of `limits.outbox_bytes` and one answer more ({}), a page of the store's ({} of text, more if much \
             of it is escaped) while it lags",
            amount(message),
            amount(BACKLOG),
            amount(BATCH),
            amount(outbox),
            amount(message),
            amount(read),
        );
        let page = format!(
            "a page of history over HTTP until it is on its way, {PAGES_OF_USER} of each user: {} and a read of the store's ({} of text, \
             more if much of it is escaped), which is there twice while it is put together",
            amount(PAGE),
            amount(read),
        );
        let over_all = |one, all, of_what| format!("{}, and {} over all{of_what}", amount(one), amount(all));
        let rows = [
            ("the program without connections", amount(PROGRAM)),
            ("a connection that is idle", amount(IDLE)),
            (&connection, amount(self.connection)),
            ("an HTTP connection before its upgrade: a head and an answer", amount(HEAD)),
            (&page, over_all(self.page, PAGES * self.page, "")),
            (
                "what is kept of a room for its members; beyond the bound over all, only what was published last in each room that is in use, or was among the last 8,192",
                over_all(self.room, self.rooms, " rooms"),
            ),
            ("messages of a connection on their way to the store", over_all(self.sender, self.senders, "")),
        ];
        let mut out = "\n| what | at most |\n|---|---|\n".to_owned();
        for (what, bytes) in rows {
            let _ = writeln!(out, "| {what} | {bytes} |");
        }
        out
    }
}

/// What an attack may hold at its height, beside the bystanders. The server's memory is bounded by it.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    /// Connections that do nothing.
    pub(super) idle: u64,
    /// Connections at their worst.
    pub(super) connections: u64,
    /// HTTP connections.
    pub(super) heads: u64,
    /// Pages of history.
    pub(super) pages: u64,
    pub(super) rooms: u64,
    /// Connections with messages on their way to the store.
    pub(super) senders: u64,
}

impl Load {
    /// The bound as `docs/security.md` has it, in MiB.
    pub(super) fn bound(self) -> u64 {
        let costs = Costs::by_default();
        let bytes = PROGRAM
            + (self.connections + Bystanders::COUNT) * costs.connection
            + self.idle * IDLE
            + self.heads * HEAD
            + self.pages.min(PAGES) * costs.page
            + ((self.rooms + 1) * costs.room).min(costs.rooms)
            + (self.senders * costs.sender).min(costs.senders);
        bytes.div_ceil(MIB)
    }
}

/// An amount of memory as text, rounded up.
fn amount(bytes: u64) -> String {
    if bytes < MIB {
        return format!("{} KiB", bytes.div_ceil(KIB));
    }
    let tenths = (10 * bytes).div_ceil(MIB);
    match tenths % 10 {
        0 => format!("{} MiB", tenths / 10),
        tenth => format!("{}.{tenth} MiB", tenths / 10),
    }
}

#[test]
fn amounts_are_rounded_up() {
    let shown = [1, KIB, KIB + 1, MIB, MIB + 1, 3 * MIB / 2, 64 * MIB - 1].map(amount);
    assert_eq!(shown, ["1 KiB", "1 KiB", "2 KiB", "1 MiB", "1.1 MiB", "1.5 MiB", "64 MiB"]);
}

#[test]
fn the_document_gives_the_bounds_that_attacks_are_held_to() {
    compare(&COSTS, &Costs::by_default().table());
}
