//! Reader (skeleton).
#![allow(missing_docs, unused, clippy::unimplemented)]
use std::io::Write;
use std::path::Path;
use crate::{Member, Damage, Digest, FormatVersion, Header, ReadAt, ReadError, Summary};
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport { pub members: u64, pub bytes: u64, pub frames: u64, pub intact: u64, pub damage: Vec<Damage>, pub damaged: u64 }
pub struct Archive { source: Box<dyn ReadAt> }
impl Archive {
    pub fn open(path: &Path) -> Result<Self, ReadError> { unimplemented!() }
    pub fn from_source(source: Box<dyn ReadAt>) -> Result<Self, ReadError> { unimplemented!() }
    pub fn version(&self) -> FormatVersion { unimplemented!() }
    pub fn archive_id(&self) -> Result<Digest, ReadError> { unimplemented!() }
    pub fn content_id(&self) -> Result<Digest, ReadError> { unimplemented!() }
    pub fn header(&self) -> Result<Header, ReadError> { unimplemented!() }
    pub fn summary(&self) -> Result<Summary, ReadError> { unimplemented!() }
    pub fn find(&self, path: &str) -> Result<Option<Member>, ReadError> { unimplemented!() }
    pub fn members(&self, prefix: &str) -> Result<impl Iterator<Item = Result<Member, ReadError>> + '_, ReadError> { Ok(std::iter::empty()) }
    pub fn read(&self, member: &Member) -> Result<Vec<u8>, ReadError> { unimplemented!() }
    pub fn copy(&self, member: &Member, to: &mut dyn Write) -> Result<(), ReadError> { unimplemented!() }
    pub fn lines(&self, table: &str) -> Result<impl Iterator<Item = Result<String, ReadError>> + '_, ReadError> { Ok(std::iter::empty()) }
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, ReadError> { unimplemented!() }
}
