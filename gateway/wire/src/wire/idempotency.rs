//! The `Idempotency-Key` of a request (draft-ietf-httpapi-idempotency-key-header): as it came, and what may stand in it.
//! Never remembers one: flights do.

use std::str::FromStr;

use farerush_engine::flight::IdempotencyKey;

use crate::wire::problem::Problem;

/// An `Idempotency-Key` as it came: the key, or what is wrong with it.
pub struct GivenKey(Result<IdempotencyKey, String>);

impl FromStr for GivenKey {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(IdempotencyKey::new(text).map_err(|error| error.to_string())))
    }
}

impl From<&[u8]> for GivenKey {
    fn from(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).map_err(|_| KEY_RULE.to_owned());
        Self(text.and_then(|text| IdempotencyKey::new(text).map_err(|error| error.to_string())))
    }
}

impl GivenKey {
    /// The key, if one came; a problem that names the header, if it is none.
    pub fn checked(given: Option<Self>) -> Result<Option<IdempotencyKey>, Problem> {
        match given {
            None => Ok(None),
            Some(Self(Ok(key))) => Ok(Some(key)),
            Some(Self(Err(message))) => Err(Problem::invalid_field("Idempotency-Key", message)),
        }
    }
}

/// What a key may consist of.
pub const KEY_RULE: &str = "may only hold visible ASCII characters";
