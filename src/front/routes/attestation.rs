//! Rows of attestation.

use super::super::head::Method;
use super::{INVALID, NOT_MODIFIED, Route, TAKEN, To, UNAUTHORIZED, Who, get, ok, post, problem};
use crate::kernel::operation::{Class, Operation};

const ATTEST: To = To::Fixed(Class::AttestationRegistry, "global");
const BUILD: To = To::Named(Class::ReferenceStore, "build/");

pub(super) const TABLE: &[Route] = &[
    Route {
        body_max: 8192,
        request: Some("DeviceRegistration"),
        answers: &[
            ok("RegisteredDevice"),
            INVALID,
            problem(403, "The build token, the device's proof or the build will not do."),
            problem(409, "Seen before."),
        ],
        ..post(
            "/attest/register",
            Operation::AttestRegister,
            ATTEST,
            Who::Anyone,
            "Registers a device by its build token.",
        )
    },
    Route {
        body_max: 65_536,
        request: Some("ReferenceUpload"),
        answers: &[ok("UploadedReference"), INVALID, UNAUTHORIZED, TAKEN],
        ..post(
            "/attest/upload-reference",
            Operation::AttestUploadReference,
            ATTEST,
            Who::Ci,
            "Declares regions of a build's file, with their bytes. Never changes what is kept.",
        )
    },
    Route {
        body_max: 65_536,
        request: Some("SignedManifest"),
        answers: &[ok("BegunUpload"), INVALID, UNAUTHORIZED, problem(403, "The manifest is not signed by CI."), TAKEN],
        ..post(
            "/attest/references",
            Operation::AttestReferenceBegin,
            ATTEST,
            Who::Ci,
            "Begins, or goes on with, the upload of a whole file.",
        )
    },
    Route {
        method: Method::Put,
        body_max: 4 * 1024 * 1024,
        answers: &[
            ok("UploadedPart"),
            UNAUTHORIZED,
            problem(404, "No such upload, or no such part."),
            TAKEN,
            problem(422, "The part's bytes are not those of its hash."),
        ],
        ..get(
            "/attest/references/{id}/parts/{n}",
            Operation::AttestPart,
            BUILD,
            Who::Ci,
            "Uploads one part; `?sha256=` is its hash in hex.",
        )
    },
    Route {
        answers: &[
            ok("UploadedReference"),
            UNAUTHORIZED,
            problem(404, "No such upload."),
            problem(409, "Parts are missing."),
            problem(422, "The parts are not the file of the manifest."),
        ],
        ..post(
            "/attest/references/{id}/complete",
            Operation::AttestComplete,
            BUILD,
            Who::Ci,
            "Recomputes the tree hash and counts the file as reference.",
        )
    },
    Route {
        body_max: 2048,
        request: Some("ChallengeWish"),
        answers: &[
            ok("Challenge"),
            INVALID,
            problem(403, "The build is not allowed, or not the device's."),
            problem(404, "The device or its reference is unknown."),
            problem(409, "Seen before."),
        ],
        ..post("/attest/challenge", Operation::AttestChallenge, ATTEST, Who::Anyone, "Asks for a challenge.")
    },
    Route {
        body_max: 16_384,
        request: Some("ChallengeAnswer"),
        answers: &[ok("Verified"), INVALID, problem(403, "The answer is not good, for whatever reason.")],
        ..post("/attest/verify", Operation::AttestVerify, ATTEST, Who::Anyone, "Answers a challenge.")
    },
    Route {
        answers: &[ok("VersionPolicy"), NOT_MODIFIED],
        ..get("/attest/versions", Operation::AttestVersionsRead, ATTEST, Who::Anyone, "The version policy, signed.")
    },
    Route {
        body_max: 4096,
        request: Some("VersionPolicyWish"),
        answers: &[
            ok("VersionPolicyChange"),
            INVALID,
            UNAUTHORIZED,
            problem(412, "The policy is not the one that `If-Match` names."),
        ],
        ..post(
            "/attest/versions",
            Operation::AttestVersionsWrite,
            ATTEST,
            Who::Operator,
            "Replaces the version policy; with `?dry_run=true` only tells what would happen.",
        )
    },
    Route {
        answers: &[ok("AttestationLog"), INVALID],
        ..get(
            "/attest/log",
            Operation::AttestLog,
            ATTEST,
            Who::Anyone,
            "Uploads and policy changes, hash-chained and signed; `?after=` and `?limit=` page.",
        )
    },
    Route {
        answers: &[ok("KeySet")],
        ..get("/.well-known/jwks.json", Operation::AttestKeys, ATTEST, Who::Anyone, "The keys that sign sessions.")
    },
];
