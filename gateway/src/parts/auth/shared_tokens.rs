//! Admins' tokens of servers that share a Redis: what one server's file has, all have, and what is revoked at one is revoked at all.
//! Never tells a token, only its hash, and believes nobody who does not know the servers' secret: whoever can write to Redis
//! makes no admin of himself.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use farerush_engine::flight::IdSecrets;
use farerush_persistence::journal::RedisJournal;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::Identity;
use super::token_file::{Entry, TOKENS_MAX, TokenFileError, Written, hex, understood, unhex, written};
use crate::base::errors::in_full;

/// How often it is looked what others have, and what is new here.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const CONTEXT: &str = "farerush 2026-11 what servers tell one another of tokens";

/// What is told of a token.
#[derive(Serialize, Deserialize)]
struct Told {
    token: Written,
    /// Its HMAC-SHA-256 (RFC 2104), in hexadecimal digits.
    seal: String,
}

/// What tells other servers, and hears of them.
pub struct SharedTokens {
    key: hmac::Key,
    redis: Arc<RedisJournal>,
}

impl SharedTokens {
    /// Among the servers of this Redis that have these secrets.
    pub fn new(redis: Arc<RedisJournal>, secrets: &IdSecrets) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secrets.key_for(CONTEXT)), redis }
    }

    /// Looks again and again, for as long as the server runs.
    pub async fn keep(self, identity: Weak<Identity>) {
        let this = Arc::new(self);
        let mut has_failed = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(identity) = identity.upgrade() else { return };
            let this = this.clone();
            let looked = tokio::task::spawn_blocking(move || this.look(&identity)).await;
            let why = match looked {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(error) => Some(in_full(&error)),
            };
            if let Some(why) = &why
                && !has_failed
            {
                tracing::warn!(why, "admins' tokens cannot be shared with the other servers just now");
            }
            has_failed = why.is_some();
        }
    }

    /// One look: theirs into the file, ours to them. Blocks.
    fn look(&self, identity: &Identity) -> Result<(), String> {
        let told = self.redis.told_tokens().map_err(|error| in_full(&error))?;
        let theirs: HashMap<String, Entry> = told
            .into_iter()
            .filter_map(|(name, told)| Some((name, self.opened(&told)?)))
            .filter(|(name, entry)| entry.name.as_str() == name)
            .collect();
        let file = identity.admins.file();
        let mut ours = file.read().map_err(|error| in_full(&error))?;
        if merge(&mut ours.clone(), &theirs) {
            let changed = file.change(|entries| {
                merge(entries, &theirs);
                ours.clone_from(entries);
                Ok::<(), TokenFileError>(())
            });
            changed.map_err(|error| in_full(&error))?;
            identity.admins.look_soon();
        }
        let news: Vec<(String, String)> = ours
            .iter()
            .filter(|entry| is_news(entry, theirs.get(entry.name.as_str())))
            .filter_map(|entry| Some((entry.name.as_str().to_owned(), self.sealed(entry)?)))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        self.redis.tell_tokens(&news).map_err(|error| in_full(&error))
    }

    fn sealed(&self, entry: &Entry) -> Option<String> {
        let token = written(entry);
        let seal = hmac::sign(&self.key, &serde_json::to_vec(&token).ok()?);
        serde_json::to_string(&Told { token, seal: hex(seal.as_ref()) }).ok()
    }

    /// What was told by a server that knows the secret.
    fn opened(&self, text: &str) -> Option<Entry> {
        let Told { token, seal } = serde_json::from_str(text).ok()?;
        hmac::verify(&self.key, &serde_json::to_vec(&token).ok()?, &unhex(&seal)?).ok()?;
        understood(token).ok()
    }
}

/// Whether others have to be told of a token.
fn is_news(ours: &Entry, theirs: Option<&Entry>) -> bool {
    match theirs {
        None => true,
        Some(theirs) => ours.hash == theirs.hash && ours.revoked_at.is_some() && theirs.revoked_at.is_none(),
    }
}

/// Adds what others have, and revokes what is revoked there; says whether that changed something. Of two tokens of one name each
/// server keeps its own: what is revoked stays so.
fn merge(ours: &mut Vec<Entry>, theirs: &HashMap<String, Entry>) -> bool {
    let mut has_changed = false;
    for entry in theirs.values() {
        let count = ours.len();
        match ours.iter_mut().find(|known| known.name == entry.name) {
            None if count < TOKENS_MAX => {
                ours.push(entry.clone());
                has_changed = true;
            }
            Some(known)
                if known.hash == entry.hash && known.revoked_at.is_none() && entry.revoked_at.is_some() =>
            {
                known.revoked_at = entry.revoked_at;
                has_changed = true;
            }
            _ => {}
        }
    }
    has_changed
}

#[cfg(test)]
mod tests {
    use farerush_engine::flight::{AdminName, Timestamp};

    use super::*;
    use crate::parts::auth::Role;

    fn entry(name: &str, hash: u8, revoked: Option<i64>) -> Entry {
        Entry {
            name: AdminName::new(name).unwrap(),
            role: Role::Viewer,
            hash: [hash; 32],
            created_at: Timestamp::from_millis(1),
            expires_at: None,
            revoked_at: revoked.map(Timestamp::from_millis),
        }
    }

    #[test]
    fn what_one_has_all_have_and_what_is_revoked_stays_revoked() {
        let told = |entries: &[Entry]| -> HashMap<String, Entry> {
            entries.iter().map(|entry| (entry.name.as_str().to_owned(), entry.clone())).collect()
        };
        let mut ours = vec![entry("a", 1, None), entry("b", 2, Some(5)), entry("c", 3, None)];
        let theirs =
            told(&[entry("a", 1, Some(7)), entry("b", 2, None), entry("c", 9, Some(7)), entry("d", 4, None)]);
        assert!(merge(&mut ours, &theirs));
        assert_eq!(
            ours,
            [entry("a", 1, Some(7)), entry("b", 2, Some(5)), entry("c", 3, None), entry("d", 4, None)]
        );
        assert!(!merge(&mut ours, &theirs), "once is enough");
        let news: Vec<&str> = ours
            .iter()
            .filter(|entry| is_news(entry, theirs.get(entry.name.as_str())))
            .map(|entry| entry.name.as_str())
            .collect();
        assert_eq!(news, ["b"], "others are told that it is revoked");
        assert!(is_news(&entry("e", 1, None), None));
    }
}
