//! Tables (skeleton).
#![allow(missing_docs, unused, clippy::unimplemented)]
use std::io::Write;
use crate::{Writer, WriteError};
pub struct TableWriter { table: String }
impl TableWriter {
    pub fn new(table: &str) -> Self { unimplemented!() }
    pub fn tag(table: &str) -> Self { unimplemented!() }
    pub fn push<W: Write>(&mut self, writer: &mut Writer<W>, line: &str) -> Result<(), WriteError> { unimplemented!() }
    pub fn finish<W: Write>(self, writer: &mut Writer<W>) -> Result<u64, WriteError> { unimplemented!() }
}
