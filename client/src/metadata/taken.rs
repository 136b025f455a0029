//! A picture taken apart: what is kept of it, and what was found in the rest; and the reading of bytes that anybody may have made.

use super::finding::{Finding, Findings};

/// What one walk over a picture gives. Looking and stripping are the same walk, so they cannot disagree: what is not copied is found.
#[derive(Default)]
pub(super) struct Taken {
    /// The picture without the rest.
    pub(super) kept: Vec<u8>,
    /// What the rest says.
    pub(super) findings: Findings,
    /// How the picture is to be turned, 2 to 8, if the rest says so.
    pub(super) orientation: Option<u8>,
}

/// Where a picture does not follow its format: nobody can say then what its bytes mean. Lower case, no full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage(pub(super) &'static str);

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Taken {
    /// Adds a finding.
    pub(super) fn found(&mut self, finding: Finding) {
        self.findings.insert(finding);
    }

    /// Adds what a piece was found to say; a piece that is taken out and says nothing readable is other data.
    pub(super) fn found_all(&mut self, findings: Findings) {
        if findings.is_empty() {
            self.found(Finding::Other);
        }
        self.findings.extend(findings);
    }

    /// Keeps these bytes.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }
}

impl<'a> Reader<'a> {
    /// The next so many bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        let (byte, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// The next bytes, as many as an array has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(CUT)?;
        self.0 = rest;
        Ok(*array)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const CUT: Damage = Damage("it ends in the middle");
