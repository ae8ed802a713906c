//! Customers' tokens (JWT, RFC 7519): which customer somebody is, by a signature that the settings' key proves.
//! Never makes one, and never lets the token choose how it is checked.

use std::path::PathBuf;

use farerush_engine::flight::CustomerId;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::settings::{JwtKey, JwtSettings};
use super::signature;
use crate::wire::names;

/// How far two clocks may be apart: a token counts so much longer than `exp` says, and so much sooner than `nbf`.
pub const LEEWAY_SECONDS: u64 = 5;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Largest key file that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Fewest bytes of an RSA key of 2048 bits in DER: shorter ones are not checked with.
const RSA_DER_BYTES_MIN: usize = 260;
/// Bytes of an Ed25519 key.
const ED25519_BYTES: usize = 32;

/// Why customers' tokens cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// The file with the key cannot be read.
    #[error("cannot read the public key in {path}", path = .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It does not hold a public key that can be used.
    #[error("{path} holds no public key that can be used: {why}", path = .path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
}

/// Why a token was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(&'static str);

impl Refused {
    /// The reason in a few words; it tells nothing that the token does not say itself.
    pub fn why(self) -> &'static str {
        self.0
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

/// What checks customers' tokens.
#[derive(Debug)]
pub struct CustomerTokens {
    key: DecodingKey,
    validation: Validation,
}

impl CustomerTokens {
    /// Takes the key, which alone says by which algorithm tokens are checked.
    pub fn new(settings: &JwtSettings) -> Result<Self, JwtError> {
        signature::install();
        let (key, algorithm) = match &settings.key {
            JwtKey::Secret(secret) => {
                (DecodingKey::from_secret(secret.expose().as_bytes()), Algorithm::HS256)
            }
            JwtKey::PublicKeyFile(path) => public_key(path)?,
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        // Without an audience of its own, a token that names one is not meant for this server.
        if let Some(audience) = &settings.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &settings.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { key, validation })
    }

    /// The customer whose token this is.
    pub fn check(&self, token: &str) -> Result<CustomerId, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused("it is too long"));
        }
        let decoded =
            decode::<Claims>(token, &self.key, &self.validation).map_err(|error| reason(error.kind()))?;
        // RFC 7515: whoever does not understand what is marked as critical must not go on.
        if decoded.header.crit.is_some() {
            return Err(Refused("its header asks for something that this server does not know"));
        }
        names::customer(&decoded.claims.sub).map_err(|_| Refused("its sub cannot be a customer"))
    }
}

fn reason(kind: &ErrorKind) -> Refused {
    Refused(match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it does not hold yet",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidIssuer => "it is from another issuer",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
            "it is signed in another way than this server asks for"
        }
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it has no exp",
            "aud" => "it has no aud",
            "iss" => "it has no iss",
            _ => "it has no sub",
        },
        _ => "it is no token that can be read",
    })
}

fn public_key(path: &PathBuf) -> Result<(DecodingKey, Algorithm), JwtError> {
    let unreadable = |source| JwtError::Unreadable { path: path.clone(), source };
    let no_key = |why| JwtError::NoKey { path: path.clone(), why };
    if std::fs::metadata(path).map_err(unreadable)?.len() > KEY_FILE_BYTES_MAX {
        return Err(no_key("it is too large"));
    }
    let pem = std::fs::read(path).map_err(unreadable)?;
    if String::from_utf8_lossy(&pem).contains("PRIVATE KEY") {
        return Err(no_key("it is a private key, which has no business here: give the public one"));
    }
    let length = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if let Ok(key) = DecodingKey::from_rsa_pem(&pem) {
        if length(&key) < RSA_DER_BYTES_MIN {
            return Err(no_key("an RSA key must have 2048 bits or more"));
        }
        return Ok((key, Algorithm::RS256));
    }
    match DecodingKey::from_ed_pem(&pem) {
        Ok(key) if length(&key) == ED25519_BYTES => Ok((key, Algorithm::EdDSA)),
        _ => Err(no_key("it must be an RSA or an Ed25519 key in PEM (BEGIN PUBLIC KEY)")),
    }
}

#[cfg(test)]
mod tests;
