//! Whole files as references: the manifest, the parts, and the tree hash over them.

use sha2::{Digest, Sha256};

use super::field::Field;
use super::policy::Build;
use super::reference::{Number, Reference, Shape, Span, UploadError, check_apart, check_build};
use crate::kernel::keys;
use crate::kernel::time::Timestamp;

/// Bytes in one leaf of the tree, and in one row. Units: bytes.
pub const LEAF_LEN: u64 = 64 * 1024;

/// Bytes in every part but the last. Units: bytes.
pub const PART_LEN: u64 = 4 * 1024 * 1024;

/// Leaves in every part but the last.
pub const LEAVES_PER_PART: u64 = PART_LEN / LEAF_LEN;

/// Largest file. Units: bytes. 4,096 rows in an object that may hold 10 GB.
pub const FILE_LEN_MAX: u64 = 256 * 1024 * 1024;

/// Most critical pieces.
pub const CRITICAL_MAX: usize = 1024;

/// Most missing parts that are named in one answer: all of the largest file.
pub const PARTS_MAX: u64 = FILE_LEN_MAX / PART_LEN;

/// The kind that a manifest names.
pub const KIND: &str = "manifest";

/// The SHA-256 of a leaf or a node.
pub type Hash = [u8; 32];

/// Why an upload of a whole file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WholeError {
    /// `manifest` or `signature` is missing.
    Missing,
    /// No key is configured that could check it.
    NoKey,
    /// The signature is nobody's we know.
    Signature,
    /// What is signed describes no file.
    Manifest,
    /// The build is malformed, or has another reference.
    Build(UploadError),
    /// No upload was begun.
    Unknown,
    /// The file has no such part.
    PartNumber,
    /// A part of another length.
    PartLength {
        /// The length it must have.
        expected: u64,
    },
    /// A part whose bytes are not those of its hash.
    PartDigest,
    /// The reference is complete and does not change.
    Complete,
    /// Some parts are missing.
    Incomplete {
        /// Their numbers.
        missing: Vec<u64>,
    },
    /// The parts are not the file of the manifest.
    TreeHash,
}

impl From<UploadError> for WholeError {
    fn from(error: UploadError) -> Self {
        Self::Build(error)
    }
}

/// A manifest as it came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ManifestClaim {
    /// The text that is signed.
    pub text: Field<String>,
    pub signature: Field<Vec<u8>>,
    /// Nothing when the text is no JSON object.
    pub content: Option<ContentClaim>,
}

/// What a manifest says, as it came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct ContentClaim {
    pub typ: Field<String>,
    pub version: Field<String>,
    pub platform: Field<String>,
    pub build_hash: Field<String>,
    pub size: Field<Number>,
    pub tree_hash: Field<Hash>,
    pub critical_ranges: Field<Vec<(Field<Number>, Field<Number>)>>,
}

/// What CI has signed about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct Manifest {
    pub build: Build,
    pub size: u64,
    pub tree_hash: Hash,
    /// Sorted and apart from each other.
    pub critical: Vec<Span>,
}

impl Manifest {
    /// How many parts the file has.
    #[must_use]
    pub const fn parts(&self) -> u64 {
        self.size.div_ceil(PART_LEN)
    }

    /// How many leaves the file has.
    #[must_use]
    pub const fn leaves(&self) -> u64 {
        self.size.div_ceil(LEAF_LEN)
    }

    /// The length of a part; nothing when there is no such part.
    #[must_use]
    pub const fn part_len(&self, part: u64) -> Option<u64> {
        if part >= self.parts() {
            return None;
        }
        let left = self.size - part * PART_LEN;
        Some(if left < PART_LEN { left } else { PART_LEN })
    }

    /// A hash over everything that counts, to tell the same upload from another.
    #[must_use]
    pub fn digest(&self) -> String {
        let spans: Vec<String> =
            self.critical.iter().map(|Span { offset, length }| format!("{offset} {length}")).collect();
        let text = format!("whole\n{}\n{}\n{}", self.size, hex::encode(self.tree_hash), spans.join("\n"));
        hex::encode(Sha256::digest(text.as_bytes()))
    }

    /// The reference that a complete file makes.
    #[must_use]
    pub fn reference(&self, now: Timestamp) -> Reference {
        Reference {
            build: self.build.clone(),
            size: Some(self.size),
            shape: Shape::Whole { size: self.size, critical: self.critical.clone() },
            digest: self.digest(),
            uploaded_at: now,
        }
    }
}

/// Checks a manifest: who has signed it, and whether it describes a file.
pub fn check_manifest(claim: ManifestClaim, keys: &[[u8; 32]]) -> Result<Manifest, WholeError> {
    if claim.text.is_missing() || claim.signature.is_missing() {
        return Err(WholeError::Missing);
    }
    if keys.is_empty() {
        return Err(WholeError::NoKey);
    }
    let text = claim.text.given().ok_or(WholeError::Manifest)?;
    let signature = claim.signature.given().ok_or(WholeError::Signature)?;
    // Under a context of its own, so that no build token is a manifest.
    let signed = format!("waystation/attest/manifest/v1\n{text}");
    if !keys.iter().any(|key| keys::verify(key, signed.as_bytes(), &signature)) {
        return Err(WholeError::Signature);
    }
    check_content(claim.content.ok_or(WholeError::Manifest)?)
}

fn check_content(content: ContentClaim) -> Result<Manifest, WholeError> {
    let build = check_build(content.version, content.platform, content.build_hash)?;
    let whole = |number: Field<Number>| number.and_then(Number::whole).given();
    let size = whole(content.size).filter(|size| (1..=FILE_LEN_MAX).contains(size)).ok_or(WholeError::Manifest)?;
    let tree_hash = content.tree_hash.given().ok_or(WholeError::Manifest)?;
    if content.typ.given().is_none_or(|kind| kind != KIND) {
        return Err(WholeError::Manifest);
    }
    let ranges = content.critical_ranges.optional(WholeError::Manifest)?.unwrap_or_default();
    let spans: Option<Vec<Span>> = ranges
        .into_iter()
        .map(|(offset, length)| Some(Span { offset: whole(offset)?, length: whole(length)? }))
        .collect();
    let critical = spans.filter(|spans| spans.len() <= CRITICAL_MAX).and_then(|spans| check_apart(spans, size));
    Ok(Manifest { build, size, tree_hash, critical: critical.ok_or(WholeError::Manifest)? })
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Parts are coming.
    Open,
    /// The file is whole and never changes.
    Complete,
}

/// What beginning an upload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginPlan {
    /// It begins, on an empty ground.
    Begin,
    /// It goes on where it was.
    Resume,
}

/// Decides the beginning of an upload. One that never became complete makes way for another.
pub fn decide_begin(kept: Option<(&Manifest, State)>, manifest: &Manifest) -> Result<BeginPlan, WholeError> {
    match kept {
        Some((kept, _)) if kept.digest() == manifest.digest() && kept.build == manifest.build => Ok(BeginPlan::Resume),
        Some((_, State::Complete)) => Err(WholeError::Complete),
        Some((_, State::Open)) | None => Ok(BeginPlan::Begin),
    }
}

/// A leaf: a row of the file with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Leaf {
    pub number: u64,
    pub bytes: Vec<u8>,
    pub hash: Hash,
}

/// Decides a part: its leaves. `digest` is its SHA-256 in hex, as CI says.
pub fn decide_part(
    kept: Option<(&Manifest, State)>,
    part: u64,
    digest: Option<&str>,
    bytes: &[u8],
) -> Result<Vec<Leaf>, WholeError> {
    let (manifest, state) = kept.ok_or(WholeError::Unknown)?;
    let expected = manifest.part_len(part).ok_or(WholeError::PartNumber)?;
    if state == State::Complete {
        return Err(WholeError::Complete);
    }
    if bytes.len() as u64 != expected {
        return Err(WholeError::PartLength { expected });
    }
    if digest.is_none_or(|digest| hex::encode(Sha256::digest(bytes)) != digest.to_ascii_lowercase()) {
        return Err(WholeError::PartDigest);
    }
    let first = part * LEAVES_PER_PART;
    let leaf = |(number, bytes): (u64, &[u8])| Leaf { number, bytes: bytes.to_vec(), hash: leaf_hash(bytes) };
    Ok((first..).zip(bytes.chunks(LEAF_LEN as usize)).map(leaf).collect())
}

/// The parts of which a leaf is missing.
#[must_use]
pub fn missing_parts(manifest: &Manifest, leaves: &[(u64, Hash)]) -> Vec<u64> {
    let here: std::collections::BTreeSet<u64> = leaves.iter().map(|(number, _)| number / LEAVES_PER_PART).collect();
    (0..manifest.parts()).filter(|part| !here.contains(part)).collect()
}

/// Decides whether the file is whole. A complete one stays complete.
pub fn decide_complete(kept: Option<(&Manifest, State)>, leaves: &[(u64, Hash)]) -> Result<(), WholeError> {
    let (manifest, _) = kept.ok_or(WholeError::Unknown)?;
    let missing = missing_parts(manifest, leaves);
    if !missing.is_empty() {
        return Err(WholeError::Incomplete { missing });
    }
    let hashes: Vec<Hash> = leaves.iter().map(|(_, hash)| *hash).collect();
    if leaves.len() as u64 != manifest.leaves() || tree_hash(hashes) != manifest.tree_hash {
        return Err(WholeError::TreeHash);
    }
    Ok(())
}

/// Source: RFC 9162, section 2.1.1.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

/// The root over leaf hashes (RFC 9162, section 2.1.1): neighbours are joined level by level, and one that is left over
/// goes up as it is.
#[must_use]
pub fn tree_hash(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => {
                    Some(Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into())
                }
                [single] => Some(*single),
                _ => None,
            })
            .collect();
    }
    level.pop().unwrap_or_else(|| Sha256::digest([]).into())
}

/// Where a piece of the file lies in the rows: row, first byte in it, length.
#[must_use]
pub fn rows_of(span: Span) -> Vec<(u64, u64, u64)> {
    let mut rows = Vec::new();
    let mut at = span.offset;
    while at < span.end() {
        let row_end = (at / LEAF_LEN + 1) * LEAF_LEN;
        let end = row_end.min(span.end());
        rows.push((at / LEAF_LEN, at % LEAF_LEN, end - at));
        at = end;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{Hash, LEAF_LEN, Span, leaf_hash, rows_of, tree_hash};
    use sha2::{Digest, Sha256};

    /// The recursive definition of RFC 9162, section 2.1.1.
    fn by_definition(leaves: &[Hash]) -> Hash {
        if leaves.len() == 1 {
            return leaves[0];
        }
        let split = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(split);
        Sha256::new()
            .chain_update([1])
            .chain_update(by_definition(left))
            .chain_update(by_definition(right))
            .finalize()
            .into()
    }

    #[test]
    fn the_tree_is_the_standards_for_every_number_of_leaves() {
        let leaves: Vec<Hash> = (0_u8..70).map(|number| leaf_hash(&[number])).collect();
        for count in 1..=leaves.len() {
            assert_eq!(tree_hash(leaves[..count].to_vec()), by_definition(&leaves[..count]), "{count}");
        }
    }

    #[test]
    fn a_piece_is_cut_at_the_rows() {
        let rows = rows_of(Span { offset: LEAF_LEN - 10, length: LEAF_LEN + 20 });
        assert_eq!(rows, [(0, LEAF_LEN - 10, 10), (1, 0, LEAF_LEN), (2, 0, 10)]);
        assert_eq!(rows_of(Span { offset: 5, length: 7 }), [(0, 5, 7)]);
    }
}
