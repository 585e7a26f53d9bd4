//! Writer (skeleton).
#![allow(missing_docs, unused, clippy::unimplemented)]
use std::io::Write;
use std::path::PathBuf;
use jiff::Timestamp;
use crate::digest::Digest;
use crate::error::WriteError;
use crate::statement::{Header, Summary};

#[derive(Clone, Debug)]
pub struct WriterOptions { pub bag: String, pub level: i32, pub threads: usize, pub spill_dir: Option<PathBuf> }
#[derive(Debug)]
pub enum Content { Bytes(Vec<u8>), File { file: std::fs::File, size: u64 } }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored { pub size: u64, pub sha256: Digest }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed { pub archive_id: Digest, pub content_id: Digest, pub size: u64, pub sha256: Digest, pub members: u64, pub payload_members: u64, pub payload_bytes: u64 }
pub struct Writer<W: Write> { sink: W }
impl<W: Write> Writer<W> {
    pub fn create(sink: W, options: WriterOptions, header: &Header) -> Result<Self, WriteError> { unimplemented!() }
    pub fn add(&mut self, path: &str, content: Content) -> Result<Stored, WriteError> { unimplemented!() }
    pub fn add_tag(&mut self, path: &str, content: Content) -> Result<Stored, WriteError> { unimplemented!() }
    pub fn finish(self, summary: &Summary, finished: Timestamp) -> Result<(W, Sealed), WriteError> { unimplemented!() }
}
