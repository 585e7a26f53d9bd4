//! The thread that copies contents out of the base, one after the other.
//!
//! Contents are asked for in the order in which they are written, which is by and large the order in which they lie in
//! the base: so a base far away is read in few large ranges.

use std::io::Seek;
use std::sync::mpsc;
use std::thread;

use lifeboat_archive::{Archive, Content, Member, ReadError};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::window::{IN_MEMORY, unnamed_file};

/// The way to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Copier(mpsc::Sender<Job>);

#[derive(Debug)]
struct Job {
    member: Member,
    answer: oneshot::Sender<Result<Content, ReadError>>,
}

impl Copier {
    pub(super) fn start(archive: Archive) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("base-reader".to_owned())
            .spawn(move || {
                for job in queue {
                    // Nobody waits any more in a run that was cancelled.
                    drop(job.answer.send(copy(&archive, &job.member)));
                }
            })
            .map_err(|error| ended(&error.to_string()))?;
        Ok(Self(jobs))
    }

    /// The content of a member, its digest proved.
    pub(super) async fn copy(&self, member: Member) -> Result<Result<Content, ReadError>, Error> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Job { member, answer })
            .map_err(|_| ended("it takes no more orders"))?;
        answered.await.map_err(|_| ended("it panicked"))
    }
}

fn ended(what: &str) -> Error {
    Error::BaseReader {
        what: what.to_owned(),
    }
}

fn copy(archive: &Archive, member: &Member) -> Result<Content, ReadError> {
    if member.size <= IN_MEMORY {
        return archive.read(member).map(Content::Bytes);
    }
    let local = |source| ReadError::Output {
        path: member.path.clone(),
        source,
    };
    let mut file = unnamed_file().map_err(local)?;
    archive.copy(member, &mut file)?;
    file.rewind().map_err(local)?;
    Ok(Content::File {
        file,
        size: member.size,
    })
}
