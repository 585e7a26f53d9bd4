//! Walking the tar stream, frame by frame. Every member passes here once, and its name, type and size are checked
//! here and nowhere else (spec, "Hostile archives").

use crate::error::Damage;
use crate::names;
use crate::tarball::{self, BLOCK, Block};

/// What a walk does with members.
pub(super) trait Visitor {
    /// Why a walk ends early.
    type Error;
    /// A member begins; its content is at `offset` of the stream.
    fn begin(&mut self, path: &str, size: u64, offset: u64) -> Result<(), Self::Error>;
    /// Bytes of the member.
    fn data(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// The member is complete.
    fn end(&mut self) -> Result<(), Self::Error>;
    /// The member that began cannot be completed.
    fn lost(&mut self) -> Result<(), Self::Error>;
    /// Something is wrong; the walk goes on.
    fn damage(&mut self, damage: Box<Damage>) -> Result<(), Self::Error>;
}

/// The state of a walk between two frames.
pub(super) struct Walk {
    state: State,
    /// The top folder, from the first member.
    top: Option<String>,
    /// From a pax header, for the next member.
    pax_path: Option<Vec<u8>>,
    pax_size: Option<u64>,
    /// The member that is being walked was handed to the visitor.
    visible: bool,
    ended: bool,
}

enum State {
    /// A header block comes next; some of it may be here.
    Header(Vec<u8>),
    /// The records of a pax header.
    Pax {
        records: Vec<u8>,
        size: usize,
    },
    Content {
        left: u64,
        padding: usize,
    },
    Padding {
        left: usize,
    },
    /// After an undecodable frame: the next frame may begin with a header.
    Searching,
    /// After the end of the tar: only zeros.
    End,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header(Vec::new()),
            top: None,
            pax_path: None,
            pax_size: None,
            visible: false,
            ended: false,
        }
    }

    /// Whether the end of the tar was seen, and nothing is left over.
    pub(super) fn complete(&self) -> bool {
        self.ended
    }

    /// Takes a frame whose first byte is at `offset` of the stream.
    pub(super) fn frame<V: Visitor>(
        &mut self,
        mut bytes: &[u8],
        mut offset: u64,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        if matches!(self.state, State::Searching) {
            if !self.begins_with_header(bytes) {
                return Ok(());
            }
            self.state = State::Header(Vec::new());
        }
        while !bytes.is_empty() {
            match self.step(bytes, offset, visitor)? {
                Some(used) => {
                    bytes = &bytes[used..];
                    offset += used as u64;
                }
                // The rest of this frame cannot be understood.
                None => {
                    self.search(visitor)?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Passes over a frame of `len` bytes that could not be decoded.
    pub(super) fn gap<V: Visitor>(&mut self, len: u64, visitor: &mut V) -> Result<(), V::Error> {
        if let State::Content { left, padding } = &mut self.state {
            // A frame inside a large member: what follows is still in step.
            if len <= *left && *left - len + *padding as u64 > 0 {
                *left -= len;
                if std::mem::take(&mut self.visible) {
                    visitor.lost()?;
                }
                return Ok(());
            }
        }
        self.search(visitor)
    }

    fn search<V: Visitor>(&mut self, visitor: &mut V) -> Result<(), V::Error> {
        if std::mem::take(&mut self.visible) {
            visitor.lost()?;
        }
        (self.pax_path, self.pax_size) = (None, None);
        self.state = State::Searching;
        Ok(())
    }

    /// Whether a frame begins with a header of this archive, not with the middle of a large member.
    fn begins_with_header(&self, bytes: &[u8]) -> bool {
        let Some(block) = bytes.first_chunk::<BLOCK>() else {
            return false;
        };
        match tarball::parse(block) {
            Ok(Block::Pax { .. }) => true,
            Ok(Block::File { path, .. }) => self.top.as_ref().is_none_or(|top| {
                path.strip_prefix(top.as_bytes())
                    .is_some_and(|rest| rest.starts_with(b"/"))
            }),
            _ => false,
        }
    }

    /// Takes some bytes; `None` when they make no sense.
    fn step<V: Visitor>(
        &mut self,
        bytes: &[u8],
        offset: u64,
        visitor: &mut V,
    ) -> Result<Option<usize>, V::Error> {
        match &mut self.state {
            State::Header(block) => {
                let used = take(block, BLOCK, bytes);
                match <[u8; BLOCK]>::try_from(block.as_slice()) {
                    Ok(block) => self.header(&block, offset + used as u64, used, visitor),
                    Err(_) => Ok(Some(used)),
                }
            }
            State::Pax { records, size } => {
                let padded = *size + tarball::padding(*size as u64);
                let used = take(records, padded, bytes);
                if records.len() == padded {
                    records.truncate(*size);
                    let records = std::mem::take(records);
                    return self.pax(&records, used, visitor);
                }
                Ok(Some(used))
            }
            State::Content { left, padding } => {
                let used = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= used as u64;
                let after = (*left == 0).then_some(*padding);
                if self.visible {
                    visitor.data(&bytes[..used])?;
                }
                if let Some(padding) = after {
                    self.content_done(padding, visitor)?;
                }
                Ok(Some(used))
            }
            State::Padding { left } => {
                let used = (*left).min(bytes.len());
                *left -= used;
                if *left == 0 {
                    self.state = State::Header(Vec::new());
                }
                if bytes[..used].iter().any(|byte| *byte != 0) {
                    visitor.damage(Damage::new("the padding after a member is not zero"))?;
                }
                Ok(Some(used))
            }
            State::End => {
                if bytes.iter().any(|byte| *byte != 0) {
                    visitor.damage(Damage::new("bytes follow the end of the tar"))?;
                }
                Ok(Some(bytes.len()))
            }
            State::Searching => Ok(None),
        }
    }

    fn header<V: Visitor>(
        &mut self,
        block: &[u8; BLOCK],
        next: u64,
        used: usize,
        visitor: &mut V,
    ) -> Result<Option<usize>, V::Error> {
        let (pax_path, pax_size) = (self.pax_path.take(), self.pax_size.take());
        match tarball::parse(block) {
            Ok(Block::End) => {
                self.state = State::End;
                self.ended = true;
            }
            Ok(Block::Pax { size }) => {
                if pax_path.is_some() || pax_size.is_some() {
                    visitor.damage(Damage::new("a pax header follows a pax header"))?;
                }
                // Bounded by `tarball::parse`.
                self.state = State::Pax {
                    records: Vec::new(),
                    size: size as usize,
                };
            }
            Ok(Block::File { path, size }) => {
                let size = pax_size.unwrap_or(size);
                self.file(&pax_path.unwrap_or(path), size, next, visitor)?;
            }
            Ok(Block::Refused { path, what, size }) => {
                let path = pax_path.unwrap_or(path);
                let damage = Damage::new(format!("the member is not a regular file: {what}"));
                visitor.damage(damage.at_path(String::from_utf8_lossy(&path)))?;
                self.skip(pax_size.unwrap_or(size), visitor)?;
            }
            Err(what) => {
                visitor.damage(Damage::new(what))?;
                return Ok(None);
            }
        }
        Ok(Some(used))
    }

    fn pax<V: Visitor>(
        &mut self,
        records: &[u8],
        used: usize,
        visitor: &mut V,
    ) -> Result<Option<usize>, V::Error> {
        match tarball::parse_pax(records) {
            Ok((path, size)) => {
                (self.pax_path, self.pax_size) = (path, size);
                self.state = State::Header(Vec::new());
                Ok(Some(used))
            }
            Err(what) => {
                visitor.damage(Damage::new(what))?;
                Ok(None)
            }
        }
    }

    /// A regular file: its name is checked before anybody sees it.
    fn file<V: Visitor>(
        &mut self,
        path: &[u8],
        size: u64,
        offset: u64,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        match self.checked(path) {
            Ok(path) => {
                visitor.begin(&path, size, offset)?;
                self.visible = true;
            }
            Err(what) => {
                visitor.damage(Damage::new(what).at_path(String::from_utf8_lossy(path)))?;
            }
        }
        self.skip(size, visitor)
    }

    /// Sets the state for a content of `size` bytes, which may be none.
    fn skip<V: Visitor>(&mut self, size: u64, visitor: &mut V) -> Result<(), V::Error> {
        let padding = tarball::padding(size);
        if size == 0 {
            return self.content_done(padding, visitor);
        }
        self.state = State::Content {
            left: size,
            padding,
        };
        Ok(())
    }

    fn content_done<V: Visitor>(
        &mut self,
        padding: usize,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        self.state = if padding == 0 {
            State::Header(Vec::new())
        } else {
            State::Padding { left: padding }
        };
        if std::mem::take(&mut self.visible) {
            visitor.end()?;
        }
        Ok(())
    }

    /// The path below the top folder.
    fn checked(&mut self, path: &[u8]) -> Result<String, String> {
        let path = std::str::from_utf8(path).map_err(|_| "the path is not UTF-8".to_owned())?;
        names::check_safe(path).map_err(|error| format!("the path is not allowed: {error}"))?;
        let (top, rest) = path
            .split_once('/')
            .ok_or_else(|| "the member is outside the top folder".to_owned())?;
        match &self.top {
            Some(known) if known != top => {
                Err(format!("the member is outside the top folder {known:?}"))
            }
            Some(_) => Ok(rest.to_owned()),
            None => {
                self.top = Some(top.to_owned());
                Ok(rest.to_owned())
            }
        }
    }
}

/// Fills `buffer` up to `size` from `bytes` and says how many were taken.
fn take(buffer: &mut Vec<u8>, size: usize, bytes: &[u8]) -> usize {
    let used = (size - buffer.len()).min(bytes.len());
    buffer.extend_from_slice(&bytes[..used]);
    used
}
