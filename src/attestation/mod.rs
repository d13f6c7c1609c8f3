//! Attestation: is this an allowed build? Build proofs, version policy, references from CI, session tokens.
//!
//! # Routes
//!
//! | route | what |
//! | --- | --- |
//! | `POST /attest/register` | a device says which build it runs, by a build token and, if it has one, its key |
//! | `POST /attest/challenge` | some pieces of its file are asked for |
//! | `POST /attest/verify` | the answer, and for a good one a session token |
//! | `GET /attest/versions`, `POST /attest/versions` | the version policy, signed; written by operators only |
//! | `GET /attest/log` | uploads and policy changes, hash-chained |
//! | `GET /.well-known/jwks.json` | the keys that sign sessions, policy and log |
//! | `POST /attest/upload-reference` | CI declares regions of a file, with their bytes |
//! | `POST /attest/references`, `PUT …/parts/{n}`, `POST …/complete` | CI uploads a whole file |
//!
//! Devices also attest on the sockets of the signaling and relay rooms, by `attest_request` and `attest_response`; and an
//! operator can make families of messages there need it: [`Porch`].
//!
//! # What is proven
//!
//! That the caller can read the released file, and (tier 2) holds the device's key. Not that it *is* the released app:
//! `docs/threat-model.md`.
//!
//! # Invariants
//!
//! - A challenge counts once: the answer deletes it in the one commit of its event, good or bad, and is told the same
//!   word whatever was wrong. A nonce is 32 bytes of the CSPRNG and belongs to one device, build and audience.
//! - The policy is read at registration, challenge, answer and grant; its epoch stands in every session.
//! - What is kept for a build never changes once it can be asked for; no byte of it and no expected value is given out.
//! - A build token never grants more than tier 0, is checked by its own key, and is no session; a session is no build
//!   token and no signed document: each kind has its own key, member or context line.
//! - A device is issued [`challenge::ATTESTATIONS`] and no more.
//! - References and begun uploads are bounded together, and go when nobody needs them any longer ([`retention`]); a file
//!   in an object of its own is forgotten by it before its build can be uploaded again.
//! - Devices are bounded ([`registration::PENDING_MAX`], [`registration::ATTESTED_MAX`]) by displacing, never by
//!   refusing; challenges by [`challenge::LIVE_MAX`] per device; every event reads a bounded number of rows, except a
//!   policy change, which counts the devices that it locks out.
//!
//! # Where the state lives
//!
//! Devices, challenges, declared regions, policy and log in the one object `global` of [`AttestationRegistry`]; a whole
//! file in the object `build/<reference id>` of [`ReferenceStore`], as rows of 64 KiB. An answer about a whole file is
//! used up by the registry, judged by the store and granted by the registry: [`object::handoff`]. What a visiting socket
//! has shown is in its own attachment. In memory there is only the policy.
//!
//! Reading order: [`field`], [`version`], [`policy`], [`build_token`], [`device`], [`registration`], [`mod@reference`],
//! [`challenge`], [`verify`], [`session`], [`log`], [`whole`], [`retention`], [`visitor`], `wire`, `store`, [`object`].

pub mod build_token;
pub mod challenge;
pub mod device;
pub mod field;
pub mod log;
pub mod object;
pub mod policy;
pub mod reference;
pub mod registration;
pub mod retention;
pub mod session;
mod store;
pub mod verify;
pub mod version;
pub mod visitor;
pub mod whole;
mod wire;

pub use object::porch::Porch;
pub use object::{AttestationRegistry, BUILD_MIGRATIONS, MIGRATIONS, ReferenceStore};
pub use wire::porch::PART_CHARS_MAX;
pub use wire::session::read_session;
pub use wire::socket;
