//! Which room of a crate may know which: imports go down only. A crate is added here, with its long files, in one place.
//! Never lists a room twice, nor one that is not there.

/// A crate: its folder, its rooms by rank, and its files of more than `LINES_TYPICAL_MAX` lines.
pub(crate) struct House {
    pub(crate) folder: &'static str,
    /// From the lowest rank to the highest. A room is a module's path, with all below it that is no room of its own; several
    /// with spaces between are one room, whose modules may know one another. Rooms of one rank know nothing of each other.
    pub(crate) ranks: &'static [&'static [&'static str]],
    /// Long files and how long they are: a number here only ever falls.
    pub(crate) long: &'static [(&'static str, usize)],
}

pub(crate) const HOUSES: &[House] = &[ENGINE, PROTOCOL, PERSISTENCE, PEERS, WIRE, CLIENTS, GATEWAY];

const ENGINE: House = House {
    folder: "engine/src",
    ranks: &[
        // The flight: what there is ...
        &[
            "meters",
            "flight/broken_invariant",
            "flight/budget",
            "flight/cabin",
            "flight/head",
            "flight/ids",
            "flight/retention",
            "flight/run_index",
        ],
        &[
            "flight/aircraft",
            "flight/key_table",
            "flight/payment",
            "flight/refusal",
            "flight/reseat",
            "flight/seat_map",
            "flight/secrets",
            "flight/waitlist/types",
        ],
        &["flight/flight_ids", "flight/order", "flight/sale"],
        &["flight/public_ids"],
        // ... what is asked and what happens ...
        &["flight/command", "flight/event"],
        &[
            "flight/chain",
            "flight/decide/decision",
            "flight/fingerprint",
            "flight/seating",
            "flight/transitions",
        ],
        &["flight/requests", "flight/waitlist/line"],
        &["flight/ledger", "flight/snapshot"],
        // ... the flight itself, and what it does.
        &["flight/flight"],
        &["flight/apply", "flight/decide", "flight/invariants", "flight/restore", "flight/waitlist"],
        &["flight"],
        &["journal"],
        // The actor and all around it.
        &["actor/clock", "actor/pace", "actor/recoveries", "actor/stamps", "actor/view"],
        &["actor/admission"],
        &["actor/message"],
        &["actor/address"],
        &["actor/writer/state"],
        &["actor/board actor/handle actor/shared"],
        &["actor/registry", "actor/writer"],
        &["actor/census", "actor/flight_actor actor/supervisor"],
        &["actor/answers", "actor/engine"],
        &["actor/creation", "actor/restart"],
        &["actor"],
    ],
    long: &[],
};

const PROTOCOL: House = House {
    folder: "engine/protocol/src",
    ranks: &[
        &["mistakes", "state"],
        &["protocol"],
        &["checks", "faults", "leases", "moving", "selling"],
        &["steps"],
    ],
    long: &[],
};

const PERSISTENCE: House = House {
    folder: "persistence/src",
    ranks: &[
        &["codec", "files"],
        &["journal"],
        &["store/column_text", "store/error", "store/options", "store/value", "store/weights"],
        &["store/outcome", "store/seen", "store/table"],
        &["store/migrations", "store/money", "store/mysql", "store/sqlite", "store/waitlist"],
        &["store/database", "store/statements", "store/stored"],
        &["store/copy", "store/owner", "store/rows"],
        &["store/heads", "store/ids", "store/read", "store/state_rows", "store/webhooks"],
        &["store/changes", "store/refunds"],
        &["store/flush"],
        &["store"],
        &["recovery", "write_behind"],
        &["backup", "receipts", "verify"],
    ],
    long: &[],
};

const PEERS: House = House {
    folder: "gateway/peers/src",
    ranks: &[&["ask", "sealed"], &["frame"], &["link"], &["door", "peers"]],
    long: &[],
};

const WIRE: House = House {
    folder: "gateway/wire/src",
    ranks: &[&["base"], &["observe"], &["wire"]],
    long: &[("gateway/wire/src/wire/fields.rs", 429), ("gateway/wire/src/wire/problem.rs", 604)],
};

const CLIENTS: House = House {
    folder: "gateway/clients/src",
    ranks: &[&["load"], &["import_command"]],
    long: &[
        ("gateway/clients/src/load/check.rs", 428),
        ("gateway/clients/src/load/client.rs", 520),
        ("gateway/clients/src/load/report.rs", 410),
    ],
};

const GATEWAY: House = House {
    folder: "gateway/src",
    ranks: &[&["parts"], &["api"], &["edge"], &["start"], &["main"]],
    long: &[
        ("gateway/src/api/admin/flights.rs", 468),
        ("gateway/src/api/admin/import/lines.rs", 479),
        ("gateway/src/api/audit.rs", 495),
        ("gateway/src/edge/server/places.rs", 539),
        ("gateway/src/edge/server/plain/mod.rs", 508),
        ("gateway/src/start/storage.rs", 530),
    ],
};
