//! Two runs of one name, prunes in between, and answers that are lost: what is visible afterwards.
//!
//! The store is one in memory that commits an upload only where nothing is, as the real ones do, and lets a test act in the
//! middle of a commit or a removal.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lifeboat_archive::{Descriptor, Digest};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

use crate::address::{Address, Place};
use crate::destination::{Destination, tests::descriptor};
use crate::error::Error;
use crate::listing::{Listing, Standing};
use crate::protect::Protection;
use crate::removal::Remover;
use crate::retention::{Policy, judge_litter};
use crate::store::Store;

type Hook = Box<dyn FnOnce() + Send>;

/// What happens in the middle of a request.
#[derive(Default)]
struct Hooks {
    /// At the next commit, before it is done.
    commit: Option<Hook>,
    /// Whether the commit that came first is done before the one that came while it was under way.
    first_wins: bool,
    /// The upload whose commit is under way.
    waiting: Option<Box<dyn MultipartUpload>>,
    /// The next commit gets no answer and is done later.
    late: bool,
    /// Of an object whose name ends so: after it was removed, and before the request is repeated.
    removed: Option<(&'static str, Hook)>,
    /// The removal of such an object is done, its answer lost, and the repeated one finds nothing.
    unheard: Option<&'static str>,
}

#[derive(Clone)]
struct Hooked {
    inner: Arc<InMemory>,
    hooks: Arc<Mutex<Hooks>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hooked")
    }
}

impl std::fmt::Display for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hooked")
    }
}

struct Upload {
    inner: Option<Box<dyn MultipartUpload>>,
    at: Path,
    store: Hooked,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("upload")
    }
}

fn no_answer() -> object_store::Error {
    object_store::Error::Generic {
        store: "hooked",
        source: "no answer".into(),
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.as_mut().unwrap().put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut upload = self.inner.take().unwrap();
        let (hook, late, before) = {
            let mut hooks = self.store.hooks.lock().unwrap();
            let first_wins = hooks.first_wins;
            let before = hooks.waiting.take_if(|_| first_wins);
            (hooks.commit.take(), std::mem::take(&mut hooks.late), before)
        };
        if late {
            self.store.hooks.lock().unwrap().waiting = Some(upload);
            return Err(no_answer());
        }
        if let Some(hook) = hook {
            self.store.hooks.lock().unwrap().waiting = Some(upload);
            tokio::task::spawn_blocking(hook).await.unwrap();
            let own = self.store.hooks.lock().unwrap().waiting.take();
            let Some(own) = own else {
                // Done on behalf of the one that came meanwhile.
                return Ok(PutResult {
                    e_tag: None,
                    version: None,
                    extensions: Default::default(),
                });
            };
            upload = own;
        } else if let Some(mut before) = before {
            before.complete().await?;
        }
        if self.store.inner.head(&self.at).await.is_ok() {
            return Err(object_store::Error::AlreadyExists {
                path: self.at.to_string(),
                source: "there".into(),
            });
        }
        upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Hooked {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(to, bytes, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload {
            inner: Some(self.inner.put_multipart_opts(to, how).await?),
            at: to.clone(),
            store: self.clone(),
        }))
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(from, how).await
    }

    fn delete_stream(
        &self,
        places: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |place: Result<Path>| {
            let store = store.clone();
            async move {
                let place = place?;
                store.inner.delete(&place).await?;
                let (hook, unheard) = {
                    let mut hooks = store.hooks.lock().unwrap();
                    let hook = hooks
                        .removed
                        .take_if(|(end, _)| place.as_ref().ends_with(*end));
                    let unheard = hooks.unheard.take_if(|end| place.as_ref().ends_with(*end));
                    (hook, unheard)
                };
                if let Some((_, hook)) = hook {
                    tokio::task::spawn_blocking(hook).await.unwrap();
                    store.inner.delete(&place).await?;
                }
                match unheard {
                    None => Ok(place),
                    Some(_) => Err(object_store::Error::NotFound {
                        path: place.to_string(),
                        source: "gone".into(),
                    }),
                }
            }
        };
        places.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

const NAME: &str = "x.tar.zst";

fn ground() -> (Store, Arc<Mutex<Hooks>>) {
    let hooks = Arc::new(Mutex::new(Hooks::default()));
    let store = Hooked {
        inner: Arc::new(InMemory::new()),
        hooks: Arc::clone(&hooks),
    };
    (Store::of(Arc::new(store)).unwrap(), hooks)
}

fn address(name: &str) -> Address {
    match Place::parse(&format!("az://memory/nightly/{name}")).unwrap() {
        Place::Remote(address) => address,
        Place::Local(path) => panic!("{path:?}"),
    }
}

/// A descriptor that fits these bytes.
fn of(bytes: &[u8]) -> Descriptor {
    Descriptor {
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
        finished: jiff::Timestamp::now(),
        ..descriptor()
    }
}

fn begin(store: &Store, bytes: &[u8]) -> (Destination, crate::Sink) {
    let protection = Protection::default();
    let (destination, mut sink) =
        Destination::in_store(store, &address(NAME), &protection).unwrap();
    sink.write_all(bytes).unwrap();
    (destination, sink)
}

fn export(store: &Store, bytes: &[u8]) -> std::result::Result<(), Error> {
    let (destination, sink) = begin(store, bytes);
    destination.commit(sink, &of(bytes)).map(drop)
}

fn listing(store: &Store) -> Listing {
    Listing::in_store(store, &address("")).unwrap()
}

/// Name and standing of every archive; `litter` for each descriptor alone.
fn shelf(store: &Store) -> Vec<(String, Standing)> {
    let listing = listing(store);
    assert!(listing.litter.is_empty(), "{:?}", listing.litter);
    let archives = listing.archives.iter();
    archives
        .map(|archive| (archive.name.clone(), archive.standing()))
        .collect()
}

fn counts(name: &str) -> Vec<(String, Standing)> {
    vec![(name.to_owned(), Standing::Counting)]
}

/// The other one takes the descriptor of the first for litter, and comes too late with its commit.
#[test]
fn the_run_whose_archive_is_there_has_its_descriptor_there() {
    for bytes in [b"run B, small".as_slice(), b"run A"] {
        let (store, hooks) = ground();
        let (first, sink) = begin(&store, b"run A");
        let other = store.clone();
        {
            let mut hooks = hooks.lock().unwrap();
            hooks.first_wins = true;
            hooks.commit = Some(Box::new(move || {
                let refused = export(&other, bytes).unwrap_err();
                assert!(matches!(refused, Error::Exists { .. }), "{refused:?}");
            }));
        }
        first.commit(sink, &of(b"run A")).unwrap();
        assert_eq!(shelf(&store), counts(NAME));
    }
}

/// The same of two runs that began before either had written its descriptor, with the same bytes.
#[test]
fn of_two_equal_runs_the_late_one_does_not_take_the_descriptor_away() {
    let (store, hooks) = ground();
    let (first, sink) = begin(&store, b"same");
    let (second, second_sink) = begin(&store, b"same");
    let descriptor = of(b"same");
    let same = descriptor.clone();
    {
        let mut hooks = hooks.lock().unwrap();
        hooks.first_wins = true;
        hooks.commit = Some(Box::new(move || {
            second.commit(second_sink, &same).unwrap_err();
        }));
    }
    first.commit(sink, &descriptor).unwrap();
    assert_eq!(shelf(&store), counts(NAME));
}

/// What was litter, and is replaced by a run that comes to nothing, is litter again.
#[test]
fn a_run_that_comes_to_nothing_gives_litter_back() {
    let (store, hooks) = ground();
    let litter = of(b"of a killed run").to_bytes().unwrap();
    store.put(&address("x.json"), litter.clone(), None).unwrap();
    let (run, sink) = begin(&store, b"a night");
    let other = store.clone();
    hooks.lock().unwrap().commit = Some(Box::new(move || {
        other
            .put(&address(NAME), b"foreign".to_vec(), None)
            .unwrap();
    }));
    run.commit(sink, &of(b"a night")).unwrap_err();
    let (found, _) = store.get(&address("x.json")).unwrap().unwrap();
    assert_eq!(found, litter);
}

#[test]
fn litter_that_is_cleared_away_during_a_run_costs_no_night() {
    let (store, _) = ground();
    let litter = of(b"of a killed run").to_bytes().unwrap();
    store.put(&address("x.json"), litter, None).unwrap();
    let (run, sink) = begin(&store, b"a night");
    let remover = Remover::in_store(&store);
    remover.litter(&listing(&store).litter[0]).unwrap();
    run.commit(sink, &of(b"a night")).unwrap();
    assert_eq!(shelf(&store), counts(NAME));
}

#[test]
fn a_prune_during_a_commit_leaves_the_descriptor() {
    let (store, hooks) = ground();
    let (run, sink) = begin(&store, b"a night");
    let other = store.clone();
    hooks.lock().unwrap().commit = Some(Box::new(move || {
        let policy = Policy {
            last: 7,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            others_days: 0,
        };
        let listing = listing(&other);
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(23);
        let verdicts: Vec<_> = judge_litter(&listing, None, &policy, later).collect();
        assert_eq!(verdicts.len(), 1);
        assert!(!verdicts[0].1.is_delete());
        // By hand, all the same.
        Remover::in_store(&other).litter(verdicts[0].0).unwrap();
    }));
    run.commit(sink, &of(b"a night")).unwrap();
    assert_eq!(shelf(&store), counts(NAME));
}

#[test]
fn a_commit_that_the_store_does_late_finds_its_descriptor() {
    let (store, hooks) = ground();
    let (run, sink) = begin(&store, b"a night");
    hooks.lock().unwrap().late = true;
    run.commit(sink, &of(b"a night")).unwrap_err();
    let mut late = hooks.lock().unwrap().waiting.take().unwrap();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(late.complete())
        .unwrap();
    assert_eq!(shelf(&store), counts(NAME));
}

fn early(bytes: &[u8]) -> Descriptor {
    Descriptor {
        inventory: lifeboat_archive::Inventory::Incomplete,
        ..of(bytes)
    }
}

/// While a partial archive is copied, somebody removes the first one and another run takes the name.
#[test]
fn an_archive_that_took_the_name_meanwhile_is_not_removed() {
    let (store, _) = ground();
    let bytes = vec![7; 3 << 20];
    let (run, sink) = begin(&store, &bytes);
    let other = store.clone();
    let told = move |copied: u64| {
        if copied == 3 << 20 {
            let first = &listing(&other).archives[0];
            Remover::in_store(&other).archive(first).unwrap();
            export(&other, b"the complete one").unwrap();
        }
    };
    let (place, _, taken) = run.commit_partial(sink, &early(&bytes), &told).unwrap();
    assert!(place.to_string().ends_with("x.partial.tar.zst"), "{place}");
    assert!(matches!(taken, Some(Error::Changed { .. })), "{taken:?}");
    let partial = ("x.partial.tar.zst".to_owned(), Standing::Partial);
    assert_eq!(shelf(&store), [vec![partial], counts(NAME)].concat());
}

/// The answer of a removal is lost, the next run takes the name, and the removal is done once more.
#[test]
fn a_removal_that_is_repeated_leaves_the_next_run_its_descriptor() {
    let (store, hooks) = ground();
    let (run, sink) = begin(&store, b"half");
    let other = store.clone();
    // The repetition strikes between the next run's descriptor and the end of its commit.
    let inner = Arc::clone(&hooks);
    hooks.lock().unwrap().removed = Some((
        "x.json",
        Box::new(move || {
            let (next, sink) = begin(&other, b"the next run");
            let store = other.clone();
            inner.lock().unwrap().commit = Some(Box::new(move || {
                store.delete(&address("x.json"), None).unwrap();
            }));
            next.commit(sink, &of(b"the next run")).unwrap();
            assert_eq!(listing(&other).archives.len(), 2);
        }),
    ));
    run.commit_partial(sink, &early(b"half"), &|_| {}).unwrap();
}

#[test]
fn a_removal_whose_answer_is_lost_is_one() {
    for unheard in ["nightly/x.tar.zst", "nightly/x.json"] {
        let (store, hooks) = ground();
        let (run, sink) = begin(&store, b"half");
        hooks.lock().unwrap().unheard = Some(unheard);
        let (_, _, taken) = run.commit_partial(sink, &early(b"half"), &|_| {}).unwrap();
        assert!(taken.is_none(), "{taken:?}");
        let partial = ("x.partial.tar.zst".to_owned(), Standing::Partial);
        assert_eq!(shelf(&store), [partial]);
    }
}
