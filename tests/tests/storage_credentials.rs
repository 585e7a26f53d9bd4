//! Tokens of Entra ID at the door of a store (spec/storage.md, "Credentials").
//!
//! Azurite takes no token over plain http, so a proxy in front of it plays the door: it lets in what carries a token that the
//! simulator's directory issued for storage and that has not ended, and signs that with the key of the account.
//! Ignored by a plain run; `tests/run.sh storage` runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod storage_support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_archive::ReadAt as _;
use lifeboat_sim::{Options, Sim, oauth};
use lifeboat_storage::{
    Destination, Error, Listing, Place, Protection, Region, Remover, Settings, Standing,
};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::HttpRequest;
use reqwest::header::{HeaderName, HeaderValue};
use storage_support::proxy::{Fate, Proxy, Request};
use storage_support::{ACCOUNT, Ground, KEY, archive, azurite, open, remote, server};

const NAME: &str = "nightly/x.tar.zst";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const SECRET: &str = "the-secret-of-the-application";

/// A client asks for a new token 300 seconds before the end of the one that it has, and is told this life: so it asks after a
/// second. A test cannot wait for the rest, so the store ends a token much earlier than was told.
const TOLD: Duration = Duration::from_secs(301);
const ENDS: Duration = Duration::from_secs(4);

struct Door {
    ground: Ground,
    sim: Arc<Sim>,
    proxy: Proxy,
}

/// A store whose door lets in tokens that are younger than `ends`.
fn door(ends: Duration) -> Door {
    let sim = Sim::start(Options::workspace("1184467440737095")).unwrap();
    sim.with(|world| {
        world.oauth.life = TOLD;
        oauth::add_client(world, CLIENT, SECRET);
    });
    let sim = Arc::new(sim);
    let (upstream, directory) = (server("LIFEBOAT_AZURITE"), Arc::clone(&sim));
    let azurite_url = upstream.clone();
    let proxy = Proxy::start(&upstream, move |request| {
        let Some(token) = bearer(request) else {
            return Fate::Answer(401, "NoAuthenticationInformation", "");
        };
        match directory.with(|world| oauth::age(world, token, oauth::STORAGE)) {
            Some(age) if age < ends => Fate::ForwardAs(signed(request, &azurite_url)),
            _ => Fate::Answer(401, "InvalidAuthenticationInfo", ""),
        }
    });
    Door {
        ground: azurite(),
        sim,
        proxy,
    }
}

fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

/// The head of the request as the owner of the account would send it.
fn signed(request: &Request, upstream: &str) -> String {
    let mut http = HttpRequest::new(Vec::new().into());
    *http.method_mut() = request.method.parse().unwrap();
    *http.uri_mut() = format!("{upstream}{}", request.target).parse().unwrap();
    let lines = request.head.lines().skip(1);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if !name.eq_ignore_ascii_case("authorization") {
            let name: HeaderName = name.parse().unwrap();
            let value: HeaderValue = value.trim().parse().unwrap();
            http.headers_mut().insert(name, value);
        }
    }
    let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
    AzureAuthorizer::new(&credential, ACCOUNT)
        .try_authorize(&mut http)
        .unwrap();
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in http.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head + "\r\n"
}

impl Door {
    /// Settings without credentials.
    fn bare(&self) -> Settings {
        Settings::new()
            .with(
                "AZURE_STORAGE_ENDPOINT",
                &format!("{}/{ACCOUNT}", self.proxy.url),
            )
            .with("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
            .with("AZURE_ALLOW_HTTP", "true")
            .with_patience(Duration::from_secs(5))
    }

    /// The settings of an application in the simulator's directory.
    fn application(&self) -> Settings {
        let tenant = self.sim.with(|world| world.oauth.tenant.clone());
        self.bare()
            .with("AZURE_AUTHORITY_HOST", &self.sim.url())
            .with("AZURE_TENANT_ID", &tenant)
            .with("AZURE_CLIENT_ID", CLIENT)
    }

    fn place(&self) -> Place {
        Place::Remote(self.ground.address(NAME))
    }

    /// Sends three parts, and waits after each but the last.
    fn upload(&self, settings: &Settings, pause: Duration) -> Result<Vec<u8>, Error> {
        let (bytes, descriptor) = archive(17, 1 << 20);
        let (destination, mut sink) =
            Destination::create(&self.place(), "", &Protection::default(), settings)?;
        for part in bytes.chunks(8 << 20) {
            if let Err(error) = sink.write_all(part) {
                return Err(error.downcast().unwrap());
            }
            std::thread::sleep(pause);
        }
        destination.commit(sink, &descriptor)?;
        Ok(bytes)
    }

    /// The tokens of the requests that fit.
    fn tokens(&self, wanted: impl Fn(&Request) -> bool) -> BTreeSet<String> {
        let seen = self.proxy.seen.lock().unwrap();
        let fitting = seen.iter().filter(|request| wanted(request));
        fitting
            .map(|request| bearer(request).unwrap().to_owned())
            .collect()
    }
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn an_upload_outlives_its_tokens_and_everything_else_takes_them_too() {
    let door = door(ENDS);
    let settings = door.application().with("AZURE_CLIENT_SECRET", SECRET);
    let bytes = door.upload(&settings, ENDS / 2).unwrap();
    let parts = door.tokens(|request| request.is("PUT", "comp=block&"));
    assert!(parts.len() > 1, "one token for all parts");
    let commits: Vec<Request> = {
        let seen = door.proxy.seen.lock().unwrap();
        let commits = seen.iter().filter(|one| one.is("PUT", "comp=blocklist"));
        commits.cloned().collect()
    };
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].header("if-none-match"), Some("*"));
    let last = bearer(&commits[0]).unwrap();
    let first = door.tokens(|request| request.method == "HEAD");
    let age = |token: &str| {
        let age = door
            .sim
            .with(|world| oauth::age(world, token, oauth::STORAGE));
        age.unwrap()
    };
    let oldest = first.iter().map(|token| age(token)).max().unwrap();
    assert!(oldest > ENDS, "the upload was shorter than a token's life");
    assert!(age(last) < oldest);
    assert!(door.ground.get(NAME) == Some(bytes.clone()));

    // The name is taken: nothing is replaced by who comes with a token either.
    let error = door.upload(&settings, Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");

    // A reader that was open for longer than a token lives.
    let source = open(&door.ground.address(NAME), &settings).unwrap();
    std::thread::sleep(ENDS);
    let mut buf = [0; 1000];
    assert_eq!(source.read_at(9_000_000, &mut buf).unwrap(), 1000);
    assert_eq!(buf, bytes[9_000_000..9_001_000]);

    let folder = Place::Remote(door.ground.address("nightly"));
    let listing = Listing::read(&folder, &settings, Region::Primary, &|_| {}).unwrap();
    assert_eq!(listing.archives.len(), 1);
    assert_eq!(listing.archives[0].standing(), Standing::Counting);
    let remover = Remover::open(&listing, &settings).unwrap();
    remover.archive(&listing.archives[0]).unwrap();
    assert!(door.ground.get(NAME).is_none());
    assert_eq!(door.tokens(|request| request.method == "DELETE").len(), 1);
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn workloads_and_machines_get_in_with_their_identity() {
    let door = door(ENDS);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "token-of-the-pod").unwrap();
    door.sim.with(|world| {
        oauth::add_federated(world, "token-of-the-pod", CLIENT);
        oauth::set_machine(world, CLIENT);
    });
    let machine = format!("{}/metadata/identity/oauth2/token", door.sim.url());
    door.ground.put(NAME, b"content");
    let file = file.to_str().unwrap();
    for settings in [
        door.application().with("AZURE_FEDERATED_TOKEN_FILE", file),
        door.bare().with("AZURE_MSI_ENDPOINT", &machine),
        door.bare()
            .with("IDENTITY_ENDPOINT", &machine)
            .with("AZURE_CLIENT_ID", CLIENT),
    ] {
        let source = open(&door.ground.address(NAME), &settings).unwrap();
        let mut buf = [0; 7];
        assert_eq!(source.read_at(0, &mut buf).unwrap(), 7);
        assert_eq!(&buf, b"content");
    }
    assert!(door.tokens(|_| true).len() >= 3);
}

#[test]
fn a_file_with_a_token_that_is_not_there_is_no_credential() {
    let settings = Settings::new()
        .with("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9/account")
        .with("AZURE_STORAGE_ACCOUNT_NAME", "account")
        .with("AZURE_ALLOW_HTTP", "true")
        .with("AZURE_TENANT_ID", "tenant")
        .with("AZURE_CLIENT_ID", CLIENT)
        .with("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token");
    let error = open(&remote("az://vault/x.tar.zst"), &settings).unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 12);
}

/// A token that was given is not renewed, and nobody hears it.
#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_token_that_ends_in_the_middle_of_an_upload_leaves_nothing_and_is_not_told() {
    let door = door(ENDS);
    let issue = || {
        door.sim
            .with(|world| oauth::issue(world, CLIENT, oauth::STORAGE))
    };
    let token = issue();
    let settings = door.bare().with("AZURE_STORAGE_TOKEN", &token);
    let refused = |error: &Error| {
        assert_eq!(error.exit_code(), 12, "{error:?}");
        let told = format!("{error} {error:?} {settings:?}");
        assert!(told.contains("401 InvalidAuthenticationInfo"), "{told}");
        assert!(!told.contains(&token) && !told.contains("Bearer"), "{told}");
    };
    refused(&door.upload(&settings, ENDS / 2).unwrap_err());
    assert!(
        door.tokens(|request| request.is("PUT", "comp=block&"))
            .len()
            == 1
    );
    assert!(door.ground.get(NAME).is_none());
    assert!(door.ground.get("nightly/x.json").is_none());
    // From now on at once.
    refused(&open(&door.ground.address(NAME), &settings).unwrap_err());
    refused(&door.upload(&settings, Duration::ZERO).unwrap_err());
    let another = door.bare().with("AZURE_STORAGE_TOKEN", &issue());
    door.upload(&another, Duration::ZERO).unwrap();
}

#[test]
#[ignore = "needs Azurite: tests/run.sh storage"]
fn a_wrong_secret_is_the_fault_of_the_directory_and_is_not_told() {
    let door = door(ENDS);
    let settings = door
        .application()
        .with("AZURE_CLIENT_SECRET", "wrong-secret");
    let error = open(&door.ground.address(NAME), &settings).unwrap_err();
    assert_eq!(error.exit_code(), 12, "{error:?}");
    let told = format!("{error} {error:?}");
    assert!(told.contains("invalid_client"), "{told}");
    assert!(!told.contains("wrong-secret"), "{told}");
    assert_eq!(door.proxy.count(|_| true), 0);
}
