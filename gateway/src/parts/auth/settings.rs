//! The settings that say who somebody is and how often they may ask, which depend on one another.
//! Never reads a key's file.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::base::settings::{ConfigError, Secret, Values, expand, whole};

/// Fewest bytes of a secret that signs: as many as its hash has (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
const SECRET_BYTES_MAX: usize = 1024;
/// Longest audience or issuer, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Highest limit, in requests a second.
const RATE_MAX: u32 = 1_000_000;

/// How customers show who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerAuth {
    /// They say so.
    Open,
    /// By a signed token.
    Jwt(JwtSettings),
}

/// What customers' tokens are checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// What proves that they were signed by the right one.
    pub key: JwtKey,
    /// The audience that they must name.
    pub audience: Option<String>,
    /// The issuer that they must name.
    pub issuer: Option<String>,
}

/// What customers' tokens were signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// A secret that the issuer has, too (HS256).
    Secret(Secret),
    /// A file with the issuer's public key (RS256 or EdDSA).
    PublicKeyFile(PathBuf),
}

/// What the settings say about customers' tokens; `data_dir` is where files are looked for that are named so.
///
/// # Errors
///
/// If one of them cannot be used, or they do not go together.
pub fn customer_auth(values: &Values, data_dir: &Path) -> Result<CustomerAuth, ConfigError> {
    let given = |text: &str| text != "none";
    let jwt = values.parse("customer_auth", |text| match text {
        "open" => Ok(false),
        "jwt" => Ok(true),
        _ => Err("must be open or jwt".to_owned()),
    })?;
    let secret = values.parse("jwt_key", |text| given(text).then(|| secret(text)).transpose())?;
    let file = values.parse("jwt_public_key_file", |text| Ok(given(text).then(|| expand(text, data_dir))))?;
    let name = |key| values.parse(key, |text| given(text).then(|| name(text)).transpose());
    let (audience, issuer) = (name("jwt_audience")?, name("jwt_issuer")?);
    if !jwt {
        // Whoever sets a key believes that it is asked for.
        let set = [
            ("jwt_key", secret.is_some()),
            ("jwt_public_key_file", file.is_some()),
            ("jwt_audience", audience.is_some()),
            ("jwt_issuer", issuer.is_some()),
        ];
        if let Some((key, _)) = set.into_iter().find(|(_, is_set)| *is_set) {
            values.parse(key, |_| Err::<(), _>("has no effect unless customer_auth is jwt".to_owned()))?;
        }
        return Ok(CustomerAuth::Open);
    }
    let key = match (secret, file) {
        (Some(secret), None) => JwtKey::Secret(secret),
        (None, Some(file)) => JwtKey::PublicKeyFile(file),
        (Some(_), Some(_)) => values.parse("jwt_key", |_| {
            Err("must not be given together with jwt_public_key_file: one key alone says how tokens are signed".to_owned())
        })?,
        (None, None) => values.parse("customer_auth", |_| {
            Err("jwt needs jwt_key or jwt_public_key_file".to_owned())
        })?,
    };
    Ok(CustomerAuth::Jwt(JwtSettings { key, audience, issuer }))
}

fn secret(text: &str) -> Result<Secret, String> {
    if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len()) {
        return Ok(Secret::new(text));
    }
    Err(format!("must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"))
}

fn name(text: &str) -> Result<String, String> {
    if text.trim() == text && (1..=NAME_BYTES_MAX).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(format!("must have 1 to {NAME_BYTES_MAX} bytes, without a space at either end"))
}

/// A limit in requests a second, or none.
pub fn rate(text: &str) -> Result<Option<NonZeroU32>, String> {
    match text {
        "none" => Ok(None),
        _ => whole(text, 1, RATE_MAX).map(NonZeroU32::new).map_err(|message| format!("{message}, or none")),
    }
}
