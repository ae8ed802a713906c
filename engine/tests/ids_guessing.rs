//! Whoever sees ids of a flight learns nothing of its other ids: the attack that once worked, and a distinguisher.

mod unlocked;

use std::collections::HashSet;

use farerush_engine::flight::{FlightId, FlightIds, OrderNo, Salt, WaitlistNo};
use unlocked::ids_of;

/// Bits of the tags that the attack was made for.
const OLD_BITS: u32 = 40;
const OLD_MASK: u64 = (1 << OLD_BITS) - 1;

fn ids() -> FlightIds {
    ids_of(&FlightId::new("FR101-20261224").unwrap(), Salt(0x5eed_5a17_0000_0007))
}

fn old_tag(salt: u64, no: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&no.to_le_bytes(), salt) & OLD_MASK
}

/// The seed with which XXH3 hashes these eight bytes to this: for so few bytes it is a bijection, step by step undone.
/// <https://github.com/Cyan4973/xxHash/blob/v0.8.3/doc/xxhash_spec.md>, "XXH3 algorithm description (for small inputs)".
fn seed_of(no: u64, hash: u64) -> u64 {
    const SECRET: u64 = 0x1cad_21f7_2c81_017c ^ 0xdb97_9083_e96d_d4de;
    const INVERSE: u64 = inverse(0x9fb2_1c65_1e98_df25);
    let mut h = hash ^ hash >> 28 ^ hash >> 56;
    h = h.wrapping_mul(INVERSE);
    h ^= (h >> 35) + 8;
    h = h.wrapping_mul(INVERSE);
    // x ^ rotl(x, 49) ^ rotl(x, 24), 64 times over, is x itself: so 63 times over undoes it.
    let mut steps = 1_u32;
    while steps < 64 {
        h ^= h.rotate_left(49 * steps % 64) ^ h.rotate_left(24 * steps % 64);
        steps *= 2;
    }
    let bitflip = h ^ no.rotate_left(32);
    let seed = SECRET.wrapping_sub(bitflip);
    seed ^ ((seed & 0xffff_ffff).swap_bytes())
}

/// Of an odd number, modulo 2^64, by Newton's method.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

/// The salt that explains both tags, looked for as it was once found: from the first tag, through all bits that were cut
/// off. Bits beyond `unknown` are taken as known, so that the test of the attack itself need not take a minute.
fn attack(first: (u64, u64), second: (u64, u64), known: u64, unknown: u32) -> Option<u64> {
    (0..1_u64 << unknown).find_map(|guess| {
        let hash = first.1 & OLD_MASK | (known + guess) << OLD_BITS;
        let salt = seed_of(first.0, hash);
        (old_tag(salt, second.0) == second.1 & OLD_MASK).then_some(salt)
    })
}

#[test]
fn the_attack_that_found_the_salt_from_two_ids_finds_nothing_any_more() {
    // It does work, where tags are made as they were.
    let salt = 0xfeed_face_cafe_beef;
    let whole = xxhash_rust::xxh3::xxh3_64_with_seed(&7_u64.to_le_bytes(), salt);
    assert_eq!(seed_of(7, whole), salt);
    let known = (whole >> OLD_BITS) & !0xffff;
    let found = attack((7, old_tag(salt, 7)), (9, old_tag(salt, 9)), known, 16);
    assert_eq!(found, Some(salt));
    // All 2^24 guesses, against ids as they are now: one in 2^16 salts fits by chance, and none of those says anything of
    // a third id.
    let ids = ids();
    let tags = |no| ids.order_tag(OrderNo(no));
    let fits = |salt: &u64| (10..14).all(|no| old_tag(*salt, no) == tags(no) & OLD_MASK);
    assert_eq!(attack((7, tags(7)), (9, tags(9)), 0, 24).filter(fits), None);
    assert_ne!(
        attack((7, tags(7)), (9, tags(9)), 0, 24),
        Some(ids.salt().0),
        "the salt is not what is secret, either"
    );
}

/// What tells a million tags from random numbers: the first statistic that is further off than chance allows (six standard
/// deviations: once in 500 million looks).
fn distinguish(tag: impl Fn(u64) -> u64) -> Option<String> {
    const COUNT: u64 = 1_000_000;
    let tags: Vec<u64> = (1..=COUNT).map(&tag).collect();
    let far = |ones: u64, of: u64| (ones as f64 - of as f64 / 2.0).abs() > 6.0 * (of as f64 / 4.0).sqrt();
    let mut seen = HashSet::with_capacity(tags.len());
    if !tags.iter().all(|tag| seen.insert(*tag)) {
        return Some("a tag comes twice".to_owned());
    }
    // Each bit, of the tags and of the differences between neighbours.
    let neighbours = tags.windows(2).map(|pair| pair[0] ^ pair[1]).collect::<Vec<_>>();
    let steps = tags.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect::<Vec<_>>();
    for (name, values) in [("tags", &tags), ("neighbours", &neighbours), ("steps", &steps)] {
        let mut ones = [0_u64; 64];
        for value in values {
            (0..64).for_each(|bit| ones[bit] += value >> bit & 1);
        }
        if let Some(bit) = (0..64).find(|bit| far(ones[*bit], values.len() as u64)) {
            return Some(format!("{name}: bit {bit} is set {} times of {}", ones[bit], values.len()));
        }
    }
    // Each byte evenly.
    for byte in 0..8 {
        let mut counts = [0_u64; 256];
        tags.iter().for_each(|tag| counts[(tag >> (8 * byte) & 255) as usize] += 1);
        let expected = COUNT as f64 / 256.0;
        let chi: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
        if (chi - 255.0).abs() > 6.0 * (2.0 * 255.0_f64).sqrt() {
            return Some(format!("byte {byte}: chi squared is {chi:.0}, not about 255"));
        }
    }
    // Each bit of a number moves half of the bits of its tag, each as often as not.
    for flipped in 0..20 {
        let mut moved = [0_u64; 64];
        let tried = 20_000;
        for no in 0..tried {
            let difference = tag(no * 37) ^ tag((no * 37) ^ (1 << flipped));
            (0..64).for_each(|bit| moved[bit] += difference >> bit & 1);
        }
        if let Some(bit) = (0..64).find(|bit| far(moved[*bit], tried)) {
            return Some(format!(
                "bit {flipped} of the number moves bit {bit} {} times of {tried}",
                moved[bit]
            ));
        }
    }
    None
}

#[test]
fn a_million_tags_cannot_be_told_from_random_numbers() {
    let ids = ids();
    assert_eq!(distinguish(|no| ids.order_tag(OrderNo(no))), None, "orders");
    assert_eq!(distinguish(|no| ids.waitlist_tag(WaitlistNo(no))), None, "waitlist");
    let both = |no| ids.order_tag(OrderNo(no)) ^ ids.waitlist_tag(WaitlistNo(no));
    assert_eq!(distinguish(both), None, "orders against the waitlist");
    // It does find what there is to find.
    for (name, weak) in [
        ("numbers", (|no| no) as fn(u64) -> u64),
        ("a product", |no| no.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        ("a tag of 40 bits", |no| old_tag(7, no)),
    ] {
        assert!(distinguish(weak).is_some(), "{name}");
    }
}
