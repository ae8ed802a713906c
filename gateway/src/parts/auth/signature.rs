//! The signatures of customers' tokens, checked by `ring`, which is in the program anyway for TLS: HS256, RS256, EdDSA.
//! Never signs anything, and knows no other algorithm.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` check signatures here, from now on and in this whole process.
pub(super) fn install() {
    // Fails only where it is installed already.
    let _ = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

/// The algorithm comes from the token here; it only holds if it belongs to the kind of key that was configured.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let bytes = key.try_get_as_bytes()?;
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(Hmac(hmac::Key::new(hmac::HMAC_SHA256, bytes))))
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa) => {
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes.to_vec());
            Ok(Box::new(Public { algorithm: Algorithm::RS256, key }))
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            let key = UnparsedPublicKey::new(&ED25519, bytes.to_vec());
            Ok(Box::new(Public { algorithm: Algorithm::EdDSA, key }))
        }
        _ => Err(new_error(ErrorKind::InvalidAlgorithm)),
    }
}

struct Hmac(hmac::Key);

impl Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], shown: &Vec<u8>) -> Result<(), signature::Error> {
        // In constant time, as ring promises.
        hmac::verify(&self.0, message, shown).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct Public {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], shown: &Vec<u8>) -> Result<(), signature::Error> {
        self.key.verify(message, shown).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
