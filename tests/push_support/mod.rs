//! What phones and servers do before they come to us, for tests of push.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(dead_code, reason = "not every test uses all of it")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use blake2::digest::consts::{U10, U24};
use blake2::{Blake2b, Digest as _};
use curve25519_dalek::montgomery::MontgomeryPoint;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use salsa20::{XSalsa20, hsalsa};
use serde_json::Value;
use waystation::kernel::errand::{Fetched, Outcome};
use waystation::push::wire::provider::Object;

/// The bouncer's key pair of the specification: private bytes 01 to 20.
pub const PRIVATE_KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
pub const PUBLIC_KEY: &str = "B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=";

/// libsodium's `crypto_box_seal`, with the ephemeral key given.
pub fn seal(public: [u8; 32], ephemeral: [u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let ours = MontgomeryPoint::mul_base_clamped(ephemeral).to_bytes();
    let shared = MontgomeryPoint(public).mul_clamped(ephemeral).to_bytes();
    seal_shared(ours, public, shared, plaintext)
}

/// The same, for whatever the two sides share.
pub fn seal_shared(ours: [u8; 32], public: [u8; 32], shared: [u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let key = hsalsa::<U10>(&shared.into(), &[0; 16].into());
    let nonce = Blake2b::<U24>::new().chain_update(ours).chain_update(public).finalize();
    let mut stream = XSalsa20::new(&key, &nonce);
    let mut mac_key = [0; 32];
    stream.apply_keystream(&mut mac_key);
    let mut ciphertext = plaintext.to_vec();
    stream.apply_keystream(&mut ciphertext);
    let tag = Poly1305::new(&mac_key.into()).compute_unpadded(&ciphertext);
    [&ours[..], &tag[..], &ciphertext].concat()
}

/// A registration sealed for the specification's key, in base64.
pub fn sealed_text(plaintext: &str) -> String {
    let public = STANDARD.decode(PUBLIC_KEY).unwrap().try_into().unwrap();
    STANDARD.encode(seal(public, [0x42; 32], plaintext.as_bytes()))
}

/// A P-256 private key as Apple's files hold it.
pub fn pem_of(key: &p256::SecretKey) -> String {
    // RFC 5915 in RFC 5208: version, id-ecPublicKey with prime256v1, and the key with its public half.
    let der = [
        &hex::decode("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420").unwrap()[..],
        &key.to_bytes(),
        &hex::decode("a144034200").unwrap(),
        key.public_key().to_sec1_point(false).as_bytes(),
    ]
    .concat();
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

pub fn secret_key(fill: u8) -> p256::SecretKey {
    p256::SecretKey::from_slice(&[fill; 32]).unwrap()
}

/// Header and claims of a JWT whose ES256 signature `key` made.
pub fn verified_jwt(text: &str, key: &p256::SecretKey) -> (Value, Value) {
    use p256::ecdsa::signature::Verifier as _;
    use p256::ecdsa::{Signature, VerifyingKey};
    let (input, signature) = text.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    VerifyingKey::from(key.public_key()).verify(input.as_bytes(), &signature).unwrap();
    jwt_parts(input)
}

/// Header and claims of what is signed.
pub fn jwt_parts(input: &str) -> (Value, Value) {
    let parts: Vec<Value> =
        input.split('.').map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect();
    assert_eq!(parts.len(), 2);
    (parts[0].clone(), parts[1].clone())
}

pub fn object(value: Value) -> Object {
    let Value::Object(members) = value else { panic!("no object") };
    members
}

/// A provider's answer.
pub fn answered(status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    Outcome::Fetched(Fetched {
        status,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.as_bytes().to_vec(),
    })
}
