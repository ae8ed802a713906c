//! Which of a cluster's slots a command is about, and which node has which slot.
//! Never talks to a server.

use ::redis::{Arg, Cmd, Value};

use super::address::Address;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: of what is in its first braces, or of all of it.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = &key[open + 1..];
        let close = inside.iter().position(|byte| *byte == b'}').filter(|close| *close > 0)?;
        Some(&inside[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the specification of Redis Cluster says.
const fn crc_of(byte: u16) -> u16 {
    let (mut crc, mut bit) = (byte << 8, 0);
    while bit < 8 {
        crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        bit += 1;
    }
    crc
}

const CRCS: [u16; 256] = {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        table[byte as usize] = crc_of(byte);
        byte += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| (crc << 8) ^ CRCS[usize::from((crc >> 8) ^ u16::from(*byte))])
}

/// What a command is about, as far as its way is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// The slot of its keys; `None` where it has none, and any node will do.
    pub(super) slot: Option<u16>,
    /// Whether it may change something.
    pub(super) writes: bool,
}

/// Finds out what a command is about. All keys of a command are in one slot.
pub(super) fn way_of(command: &Cmd) -> Way {
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes,
        _ => b"",
    });
    let name = arguments.next().unwrap_or_default();
    let key = match name {
        b"EVAL" => arguments.nth(2),
        b"CONFIG" | b"INFO" | b"PING" | b"WAIT" | b"CLUSTER" | b"ASKING" => None,
        _ => arguments.next(),
    };
    let writes =
        matches!(name, b"EVAL" | b"XADD" | b"XTRIM" | b"SADD" | b"SREM" | b"SET" | b"HSET" | b"HDEL");
    Way { slot: key.map(slot_of), writes }
}

/// Which node has which slots: the primaries, and whose each slot is by their number there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMap {
    pub(super) primaries: Vec<Address>,
    owners: Vec<u16>,
}

/// A slot that nobody has.
const NOBODY: u16 = u16::MAX;

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS`, which `asked` gave. `None` if it is something else.
    pub(super) fn read(answer: Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = answer else { return None };
        let mut map = Self { primaries: Vec::new(), owners: vec![NOBODY; usize::from(SLOTS)] };
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let mut range = range.into_iter();
            let (Some(Value::Int(first)), Some(Value::Int(last)), Some(Value::Array(primary))) =
                (range.next(), range.next(), range.next())
            else {
                return None;
            };
            let mut primary = primary.into_iter();
            let host = match primary.next()? {
                Value::BulkString(host) => String::from_utf8(host).ok()?,
                Value::Nil => String::new(),
                _ => return None,
            };
            // One that does not know its own name means where it was asked.
            let host = if host.is_empty() || host == "?" { asked.0.clone() } else { host };
            let Value::Int(port) = primary.next()? else { return None };
            let address = (host, u16::try_from(port).ok()?);
            let number = map.number_of(address);
            let slots = usize::try_from(first).ok()?..=usize::try_from(last).ok()?;
            map.owners.get_mut(slots)?.fill(number);
        }
        Some(map)
    }

    fn number_of(&mut self, address: Address) -> u16 {
        let place = self.primaries.iter().position(|known| *known == address).unwrap_or_else(|| {
            self.primaries.push(address);
            self.primaries.len() - 1
        });
        u16::try_from(place).unwrap_or(NOBODY)
    }

    /// The primary that has a slot, if one does.
    pub(super) fn owner(&self, slot: u16) -> Option<&Address> {
        self.primaries.get(usize::from(*self.owners.get(usize::from(slot))?))
    }

    /// Whether every slot is somebody's.
    pub(super) fn is_whole(&self) -> bool {
        !self.owners.contains(&NOBODY)
    }
}

/// Where another node says that a slot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirected {
    /// There from now on.
    Moved,
    /// There, for this command only.
    Ask(Address),
}

/// Reads an error that says so; `asked` said it.
pub(super) fn redirected(answer: &Value, asked: &Address) -> Option<Redirected> {
    let Value::ServerError(error) = answer else { return None };
    match error.code() {
        "MOVED" => Some(Redirected::Moved),
        "ASK" => {
            let (host, port) = error.details()?.split_whitespace().nth(1)?.rsplit_once(':')?;
            let host = if host.is_empty() { asked.0.clone() } else { host.to_owned() };
            Some(Redirected::Ask((host, port.parse().ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ::redis::cmd;

    use super::*;

    #[test]
    fn a_key_has_the_slot_that_redis_gives_it() {
        // As CLUSTER KEYSLOT says.
        for (key, slot) in
            [("123456789", 12_739), ("foo", 12_182), ("farerush:{members}", slot_of(b"members"))]
        {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"x:{FR1}:journal"), slot_of(b"x:{FR1}:owner"));
        assert_eq!(slot_of(b"{}x"), crc16(b"{}x") % SLOTS);
    }

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        let mut script = cmd("EVAL");
        script.arg("return 1").arg(2).arg("x:{FR1}:journal").arg("x:{FR1}:owner").arg("1-0");
        assert_eq!(way_of(&script), Way { slot: Some(slot_of(b"FR1")), writes: true });
        let mut read = cmd("XREVRANGE");
        assert_eq!(way_of(read.arg("foo").arg("+")), Way { slot: Some(12_182), writes: false });
        assert_eq!(way_of(cmd("INFO").arg("server")), Way { slot: None, writes: false });
    }

    #[test]
    fn a_map_is_read_as_it_is_given() {
        let node = |host: &str, port| {
            Value::Array(vec![
                Value::BulkString(host.into()),
                Value::Int(port),
                Value::BulkString("id".into()),
            ])
        };
        let range = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let asked = ("here".to_owned(), 1);
        let ranges = vec![range(0, 99, node("one", 7)), range(100, 16_383, node("", 8))];
        let map = SlotMap::read(Value::Array(ranges), &asked).unwrap();
        assert_eq!(map.owner(99), Some(&("one".to_owned(), 7)));
        assert_eq!(map.owner(100), Some(&("here".to_owned(), 8)));
        assert!(map.is_whole());
        let map = SlotMap::read(Value::Array(vec![range(0, 99, node("one", 7))]), &asked).unwrap();
        assert!(!map.is_whole() && map.owner(100).is_none());
        assert_eq!(SlotMap::read(Value::Array(vec![range(0, 16_384, node("one", 7))]), &asked), None);
    }
}
