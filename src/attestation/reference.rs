//! References: what the released file of a build looks like, as far as challenges ask for it.

use sha2::{Digest, Sha256};

use super::field::Field;
use super::policy::{Build, is_build_hash, is_platform};
use super::version::Version;
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};

/// Most regions that a reference declares. The route's body limit of 64 KiB gets there at 60 bytes a region.
pub const REGIONS_MAX: usize = 1024;

/// Heaviest region.
pub const WEIGHT_MAX: u64 = 1_000;

/// References that are kept, with the uploads that are to become some. Only CI adds to them.
pub const REFERENCES_MAX: u64 = 10_000;

/// Those of one platform: a build a day for three years, with what is blocked going after 90 days.
pub const BUILDS_PER_PLATFORM_MAX: u64 = 1_000;

/// A piece of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "units: bytes")]
pub struct Span {
    pub offset: u64,
    pub length: u64,
}

impl Span {
    /// The first byte after the piece.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// Whether a challenge can ask for a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerable {
    /// Its bytes are here.
    Yes,
    /// CI did not send its bytes, so no answer could be judged.
    No,
}

/// A region that CI has declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Region {
    pub span: Span,
    /// How often it is asked for, compared with others.
    pub weight: u64,
    pub answerable: Answerable,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Some regions of it.
    Declared(Vec<Region>),
    /// All of it, in an object of its own.
    Whole {
        /// Its length. Units: bytes.
        size: u64,
        /// Pieces that matter most; sorted, apart from each other.
        critical: Vec<Span>,
    },
}

impl Shape {
    /// Whether a challenge can be made of it.
    #[must_use]
    pub fn answerable(&self) -> Answerable {
        match self {
            Self::Declared(regions) if regions.iter().all(|region| region.answerable == Answerable::No) => {
                Answerable::No
            }
            Self::Declared(_) | Self::Whole { .. } => Answerable::Yes,
        }
    }
}

/// A reference as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Reference {
    pub build: Build,
    /// Units: bytes; nothing when CI did not say.
    pub size: Option<u64>,
    pub shape: Shape,
    /// A hash over everything that was uploaded, to tell the same upload from another.
    pub digest: String,
    pub uploaded_at: Timestamp,
}

/// The id of a build's reference.
#[must_use]
pub fn reference_id(build: &Build) -> String {
    let Build { version, platform, build_hash } = build;
    let text = format!("waystation/attest/reference/v1\n{version}\n{platform}\n{build_hash}");
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// A region as it came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct RegionClaim {
    pub offset: Field<Number>,
    pub length: Field<Number>,
    pub weight: Field<Number>,
    pub bytes: Field<Vec<u8>>,
}

/// A JSON number, which need not be whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

impl Number {
    /// A whole number that is not negative and that JavaScript carries exactly.
    #[must_use]
    pub fn whole(self) -> Option<u64> {
        // Exact: the bound is below 2^53.
        let fits = self.0.fract() == 0.0 && (0.0..=SAFE_INTEGER_MAX as f64).contains(&self.0);
        fits.then_some(self.0 as u64)
    }
}

/// An upload as it came.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct UploadClaim {
    pub version: Field<String>,
    pub platform: Field<String>,
    pub build_hash: Field<String>,
    pub size: Field<Number>,
    pub regions: Field<Vec<RegionClaim>>,
}

/// Why an upload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadError {
    /// `version`, `platform` or `build_hash` is missing.
    Missing,
    /// One of them is malformed.
    Format,
    /// `critical_regions` is no list, or empty.
    NoRegions,
    /// A region without numeric offset or length.
    RegionNumbers,
    /// A region that is not within the file, overlaps another, or has other bytes than it says.
    RegionRange,
    /// Another reference is kept for this build.
    Taken,
    /// [`REFERENCES_MAX`] or [`BUILDS_PER_PLATFORM_MAX`].
    Full,
    /// What was kept for this build is just being removed.
    Leaving,
}

/// An upload that is fine by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What will be kept.
    pub reference: Reference,
    /// The bytes of its regions, in their order; nothing where they were not sent.
    pub bytes: Vec<Option<Vec<u8>>>,
}

/// The build that a claim is about.
pub fn check_build(
    version: Field<String>,
    platform: Field<String>,
    build_hash: Field<String>,
) -> Result<Build, UploadError> {
    if version.is_missing() || platform.is_missing() || build_hash.is_missing() {
        return Err(UploadError::Missing);
    }
    let version = version.given().filter(|text| Version::parse(text).is_some());
    let platform = platform.given().filter(|text| is_platform(text));
    let build_hash = build_hash.given().filter(|text| is_build_hash(text));
    let (Some(version), Some(platform), Some(build_hash)) = (version, platform, build_hash) else {
        return Err(UploadError::Format);
    };
    Ok(Build { version, platform, build_hash })
}

/// Checks an upload by itself, in the order of the protocol.
pub fn check_upload(claim: UploadClaim, now: Timestamp) -> Result<Upload, UploadError> {
    let build = check_build(claim.version, claim.platform, claim.build_hash)?;
    let claims = claim.regions.given().filter(|regions| !regions.is_empty()).ok_or(UploadError::NoRegions)?;
    if claims.len() > REGIONS_MAX {
        return Err(UploadError::RegionRange);
    }
    let size = match claim.size.optional(UploadError::RegionRange)? {
        Some(number) => Some(number.whole().ok_or(UploadError::RegionRange)?),
        None => None,
    };
    let mut regions = Vec::with_capacity(claims.len());
    let mut bytes = Vec::with_capacity(claims.len());
    for claim in claims {
        let (region, own) = check_region(claim)?;
        regions.push(region);
        bytes.push(own);
    }
    let spans = regions.iter().map(|region| region.span);
    check_apart(spans.collect(), size.unwrap_or(SAFE_INTEGER_MAX)).ok_or(UploadError::RegionRange)?;
    let digest = digest(size, &regions, &bytes);
    let shape = Shape::Declared(regions);
    Ok(Upload { reference: Reference { build, size, shape, digest, uploaded_at: now }, bytes })
}

fn check_region(claim: RegionClaim) -> Result<(Region, Option<Vec<u8>>), UploadError> {
    let (Field::Given(offset), Field::Given(length)) = (claim.offset, claim.length) else {
        return Err(UploadError::RegionNumbers);
    };
    let span = offset.whole().zip(length.whole()).map(|(offset, length)| Span { offset, length });
    let span = span.filter(|span| span.length > 0).ok_or(UploadError::RegionRange)?;
    let weight = claim.weight.optional(UploadError::RegionRange)?.map_or(Some(1), Number::whole);
    let weight = weight.filter(|weight| (1..=WEIGHT_MAX).contains(weight)).ok_or(UploadError::RegionRange)?;
    let bytes = claim.bytes.optional(UploadError::RegionRange)?;
    if bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 != span.length) {
        return Err(UploadError::RegionRange);
    }
    let answerable = if bytes.is_some() { Answerable::Yes } else { Answerable::No };
    Ok((Region { span, weight, answerable }, bytes))
}

/// The spans, sorted, if they are apart from each other and end within `size`.
#[must_use]
pub fn check_apart(mut spans: Vec<Span>, size: u64) -> Option<Vec<Span>> {
    spans.sort_unstable();
    let overlap = spans.iter().zip(spans.iter().skip(1)).any(|(left, right)| left.end() > right.offset);
    let outside = spans.iter().any(|span| span.length == 0 || span.end() > size);
    (!overlap && !outside).then_some(spans)
}

fn digest(size: Option<u64>, regions: &[Region], bytes: &[Option<Vec<u8>>]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("declared\n{size:?}\n"));
    for (region, bytes) in regions.iter().zip(bytes) {
        let Region { span: Span { offset, length }, weight, .. } = region;
        let own = bytes.as_deref().map_or_else(String::new, |bytes| hex::encode(Sha256::digest(bytes)));
        hash.update(format!("{offset} {length} {weight} {own}\n"));
    }
    hex::encode(hash.finalize())
}

/// What is kept for a build already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Kept {
    pub digest: String,
    pub answerable: Answerable,
}

/// How many references there are, with the uploads that are to become some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of all platforms.
    pub all: u64,
    /// Of the upload's platform.
    pub of_platform: u64,
    /// Files of this very build that must still be forgotten: one or none.
    pub leaving: u64,
}

/// What an upload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadPlan {
    /// It is kept.
    Keep,
    /// It is kept already.
    Unchanged,
}

/// Decides an upload. What is kept for a build never changes, except that a reference that cannot be asked for, because
/// CI did not send its bytes, makes way for one that can.
pub fn decide_upload(kept: Option<&Kept>, counts: Counts, digest: &str) -> Result<UploadPlan, UploadError> {
    match kept {
        _ if counts.leaving > 0 => Err(UploadError::Leaving),
        Some(kept) if kept.digest == digest => Ok(UploadPlan::Unchanged),
        Some(kept) if kept.answerable == Answerable::Yes => Err(UploadError::Taken),
        Some(_) => Ok(UploadPlan::Keep),
        None if counts.all >= REFERENCES_MAX || counts.of_platform >= BUILDS_PER_PLATFORM_MAX => Err(UploadError::Full),
        None => Ok(UploadPlan::Keep),
    }
}
