//! What a customer's token must be to be believed: every algorithm, every claim, and the well-known ways to cheat.
//! Signs by itself, so that nothing is checked by the library that is tested.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::base::settings::Secret;

const SECRET: &str = "a-secret-of-the-issuer-of-32-bytes-or-more";

/// A key of 2048 bits whose private half was thrown away after it had signed `RS256_TOKEN`.
const RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2T5e1vbNVmKqiibQFK0/
vbGTOTW2lTVGRmnM+rFAdF9VflfdR8CET2BNtyTB5cf/L3+cyUsDPoYrdn+1+b0C
sbDWqxp0OZZ8XNpa77hh1Tkmewhsns7SS3s06ijBm3NS+bTpD5+usjv7nCt6UCLE
ZsX5L0wh4Oz875m6Z+CKzyvKn8O7GrB9VCa0z98cTTSVEaGzzJiRxmTt2tzueL3j
z42i1vrx8gDzKf3nKmRNoltQ6RSrZJWzE+gdRQFaKfg3e1UgyAJnNJtA/tK2HZ7+
kcojos4rXWl5Fa0KmYp5yQUAaz2U9WU/I0bnkvyUSantKVnJwITHA6RQCsFPgZbE
qwIDAQAB
-----END PUBLIC KEY-----
";

/// `{"sub":"u1","exp":4102444800}` (the year 2100), signed by OpenSSL.
const RS256_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1MSIsImV4cCI6NDEwMjQ0NDgwMH0.WeqpH3Gv_jNV63XxPd-cG32\
    n9Q7W9JdJAtbtiXDy8ahARmcEZ-C0IlyIm1VHMCqJM5h6t7RN6_uWLAwj-BSZARW4tWg_Ym9u_udhkJQN77KLi3Nz5TJRuOYaY2_\
    pnM8fzU5Cs_2VnUTzuMF5JlkydbWYVb993OM0e_JS0NsqF4TPpKV1nF_1Ae-1RUaLcz73K6MkHLbzwEgeV66n9CUC_7OgGRjRDpc\
    rDjsHTSfSFyl6KwdhL-N9XUHp30QnMN5sh7560CArZMRaHY0D1Bw4AfchMIy73euBbJRu4x48mPFj698QzG1mLuZXkdeLdPHf3MD\
    c8nEcUhBKRgES0UfGCg";

const SMALL_RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC7NYYV6pkJSWRAnk4pQQHVtmjF
GCxlH24M1zEawmgxVAXQ2j0wQxYevaDCxrHzyl/nVaiwcW+sPuahkODXovYaf7fF
VqMQ/7VSZqK0Iu/Xn+xkoUVFd8qwyZ4uUDHruZpCDjddiREPGR0YyWMpUm6d4yrI
j6SBwMLAC21gc/YzCQIDAQAB
-----END PUBLIC KEY-----
";

/// Bytes with an alphabet of 64 characters, padded or not.
fn base64(bytes: &[u8], last_two: [u8; 2], padded: bool) -> String {
    let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last_two).collect();
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4_usize {
            match () {
                () if at <= three.len() => text.push(alphabet[(bits >> (18 - 6 * at) & 63) as usize].into()),
                () if padded => text.push('='),
                () => {}
            }
        }
    }
    text
}

fn url(bytes: &[u8]) -> String {
    base64(bytes, *b"-_", false)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signed_with(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", url(header.to_string().as_bytes()), url(claims.to_string().as_bytes()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", url(&signature))
}

fn hs256_with(secret: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

fn hs256(claims: &Value) -> String {
    signed_with(&json!({"alg": "HS256", "typ": "JWT"}), claims, hs256_with(SECRET.as_bytes()))
}

fn ed25519() -> (Ed25519KeyPair, String) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&head[..], pair.public_key().as_ref()].concat();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der, *b"+/", true));
    (pair, pem)
}

fn with_secret(audience: Option<&str>, issuer: Option<&str>) -> CustomerTokens {
    let key = JwtKey::Secret(Secret::new(SECRET));
    let name = |text: &str| text.to_owned();
    CustomerTokens::new(&JwtSettings { key, audience: audience.map(name), issuer: issuer.map(name) }).unwrap()
}

fn with_pem(pem: &str) -> Result<CustomerTokens, JwtError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    CustomerTokens::new(&JwtSettings { key: JwtKey::PublicKeyFile(path), audience: None, issuer: None })
}

#[track_caller]
fn refused(tokens: &CustomerTokens, token: &str, why: &str) {
    let refused = tokens.check(token).expect_err("it is believed");
    assert!(refused.why().contains(why), "{:?}, not {why:?}", refused.why());
}

#[test]
fn each_algorithm_names_the_customer() {
    let claims = json!({"sub": "u1", "exp": now() + 60});
    assert_eq!(with_secret(None, None).check(&hs256(&claims)).unwrap().as_str(), "u1");
    assert_eq!(with_pem(RSA_PEM).unwrap().check(RS256_TOKEN).unwrap().as_str(), "u1");
    let (pair, pem) = ed25519();
    let header = json!({"alg": "EdDSA"});
    let token = signed_with(&header, &claims, |message| pair.sign(message).as_ref().to_vec());
    assert_eq!(with_pem(&pem).unwrap().check(&token).unwrap().as_str(), "u1");
}

#[test]
fn the_token_does_not_choose_how_it_is_checked() {
    let claims = json!({"sub": "u1", "exp": now() + 60});
    let (pair, ed_pem) = ed25519();
    let (rsa, ed, secret) = (with_pem(RSA_PEM).unwrap(), with_pem(&ed_pem).unwrap(), with_secret(None, None));
    for tokens in [&rsa, &ed, &secret] {
        for none in ["none", "None", "NONE", "nOnE", ""] {
            let token = signed_with(&json!({"alg": none}), &claims, |_| Vec::new());
            refused(tokens, &token, "it is");
        }
        let unsigned = signed_with(&json!({"typ": "JWT"}), &claims, |_| Vec::new());
        refused(tokens, &unsigned, "no token that can be read");
    }
    // The public key is known to everybody: it must not do as a secret, however its bytes are taken.
    let der = DecodingKey::from_rsa_pem(RSA_PEM.as_bytes()).unwrap().try_get_as_bytes().unwrap().to_vec();
    for known in [
        RSA_PEM.as_bytes(),
        RSA_PEM.trim_end().as_bytes(),
        &der,
        ed_pem.as_bytes(),
        pair.public_key().as_ref(),
    ] {
        let token = signed_with(&json!({"alg": "HS256"}), &claims, hs256_with(known));
        refused(&rsa, &token, "another way");
        refused(&ed, &token, "another way");
        refused(&secret, &token, "signature is wrong");
    }
    refused(&secret, RS256_TOKEN, "another way");
    refused(&ed, RS256_TOKEN, "another way");
    for other in ["HS384", "HS512", "RS256", "RS384", "PS256", "ES256", "EdDSA"] {
        let token = signed_with(&json!({"alg": other}), &claims, hs256_with(SECRET.as_bytes()));
        refused(&secret, &token, "it is signed in another way");
    }
    let carried =
        json!({"alg": "HS256", "jwk": {"kty": "oct", "k": url(b"0123456789abcdef0123456789abcdef")}});
    let token = signed_with(&carried, &claims, hs256_with(b"0123456789abcdef0123456789abcdef"));
    refused(&secret, &token, "signature is wrong");
}

#[test]
fn a_token_that_was_changed_or_signed_by_another_is_refused() {
    let tokens = with_secret(None, None);
    let claims = json!({"sub": "u1", "exp": now() + 60});
    let token = hs256(&claims);
    let other = hs256(&json!({"sub": "u2", "exp": now() + 60}));
    let parts: Vec<&str> = token.split('.').collect();
    let mixed = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    refused(&tokens, &mixed, "signature is wrong");
    let another =
        signed_with(&json!({"alg": "HS256"}), &claims, hs256_with(b"another-secret-that-is-long-enough-too"));
    refused(&tokens, &another, "signature is wrong");
    refused(&with_pem(RSA_PEM).unwrap(), &RS256_TOKEN.replace("Weqp", "Weqq"), "signature is wrong");
    let short = token[..token.len() - 3].to_owned();
    for broken in ["", ".", "..", "a.b.c", &short, &token.replace('.', ""), &format!("{token}.x")] {
        refused(&tokens, broken, "it");
    }
    refused(&tokens, &"x".repeat(TOKEN_BYTES_MAX + 1), "too long");
}

#[test]
fn the_times_count_up_to_a_small_leeway() {
    let tokens = with_secret(None, None);
    let of = |claims: Value| hs256(&claims);
    for good in [
        json!({"sub": "u1", "exp": now() + 1}),
        json!({"sub": "u1", "exp": now() - 2}),
        json!({"sub": "u1", "exp": now() + 60, "nbf": now() - 1}),
        json!({"sub": "u1", "exp": now() + 60, "nbf": now() + 3}),
        json!({"sub": "u1", "exp": now() as f64 + 60.5}),
    ] {
        assert!(tokens.check(&of(good.clone())).is_ok(), "{good}");
    }
    for (bad, why) in [
        (json!({"sub": "u1"}), "no exp"),
        (json!({"sub": "u1", "exp": null}), "no exp"),
        (json!({"sub": "u1", "exp": (now() + 60).to_string()}), "no exp"),
        (json!({"sub": "u1", "exp": -1}), "no exp"),
        (json!({"sub": "u1", "exp": now() - LEEWAY_SECONDS - 2}), "expired"),
        (json!({"sub": "u1", "exp": 0}), "expired"),
        (json!({"sub": "u1", "exp": now() + 60, "nbf": now() + LEEWAY_SECONDS + 60}), "not hold yet"),
        (json!({"sub": "u1", "exp": now() + 60, "nbf": "tomorrow"}), "it is"),
    ] {
        refused(&tokens, &of(bad), why);
    }
}

#[test]
fn audience_issuer_and_subject_must_be_the_right_ones() {
    let with = |change: Value| {
        let mut claims =
            json!({"sub": "u1", "exp": now() + 60, "aud": "farerush", "iss": "https://id.example"});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        hs256(&claims)
    };
    let tokens = with_secret(Some("farerush"), Some("https://id.example"));
    assert!(tokens.check(&with(json!({}))).is_ok());
    assert!(tokens.check(&with(json!({"aud": ["other", "farerush"]}))).is_ok());
    let composed = tokens.check(&with(json!({"sub": "a\u{301}nna"}))).unwrap();
    assert_eq!(composed.as_str(), "\u{e1}nna", "one customer, however the name is composed");
    for (change, why) in [
        (json!({"aud": "other"}), "another audience"),
        (json!({"aud": ["other"]}), "another audience"),
        (json!({"aud": []}), "another audience"),
        (json!({"aud": null}), "no aud"),
        (json!({"aud": 7}), "no aud"),
        (json!({"iss": "https://evil.example"}), "another issuer"),
        (json!({"iss": null}), "no iss"),
        (json!({"sub": null}), "it"),
        (json!({"sub": 7}), "it"),
        (json!({"sub": ""}), "cannot be a customer"),
        (json!({"sub": "x".repeat(1000)}), "cannot be a customer"),
        (json!({"sub": "a\nb"}), "cannot be a customer"),
        (json!({"sub": "a\u{200b}b"}), "cannot be a customer"),
        (json!({"sub": "a\u{202e}b"}), "cannot be a customer"),
    ] {
        refused(&tokens, &with(change), why);
    }
    let exp = now() + 60;
    refused(&tokens, &hs256(&json!({"exp": exp, "aud": "farerush", "iss": "https://id.example"})), "it");
    // Whoever names an audience means it, and this server has none.
    refused(
        &with_secret(None, None),
        &hs256(&json!({"sub": "u1", "exp": exp, "aud": "x"})),
        "another audience",
    );
}

#[test]
fn what_a_header_marks_as_critical_is_not_passed_over() {
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let claims = json!({"sub": "u1", "exp": now() + 60});
    let token = signed_with(&header, &claims, hs256_with(SECRET.as_bytes()));
    refused(&with_secret(None, None), &token, "does not know");
}

#[test]
fn a_key_that_cannot_be_used_is_an_error_at_start_that_says_why() {
    for (pem, why) in [
        ("", "RSA or an Ed25519"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "RSA or an Ed25519"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        (SMALL_RSA_PEM, "2048 bits"),
        (&"x".repeat(100_000), "too large"),
    ] {
        let error = with_pem(pem).expect_err("it is taken").to_string();
        assert!(error.contains(why), "{error}");
    }
    let settings =
        JwtSettings { key: JwtKey::PublicKeyFile("/nowhere.pem".into()), audience: None, issuer: None };
    assert!(CustomerTokens::new(&settings).unwrap_err().to_string().contains("/nowhere.pem"));
}
