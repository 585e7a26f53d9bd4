//! Stores for tests: where the servers of `tests/run.sh` are, containers of their own, and a proxy that misbehaves.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test binary uses a part, and fails where a helper fails"
)]

pub mod proxy;

use std::sync::Arc;
use std::time::Duration;

use lifeboat_archive::{Descriptor, Header, Inventory, Scope, Summary, Writer, WriterOptions};
use lifeboat_storage::{
    Address, Error, Identities, Place, Protection, PublicKey, Recipients, Region, Settings,
    SigningKey, Source, Store,
};
use object_store::aws::AmazonS3Builder;
use object_store::azure::{
    AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzureBuilder,
};
use object_store::client::{HttpConnector, HttpRequest, ReqwestConnector};
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};

/// Account and key that every Azurite has; they are public.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A container of its own, and two ways to it: the one under test and a plain client.
pub struct Ground {
    pub store: Store,
    pub plain: Arc<dyn ObjectStore>,
    pub settings: Settings,
    /// `az://container/`.
    pub url: String,
}

impl Ground {
    pub fn address(&self, name: &str) -> Address {
        remote(&format!("{}{name}", self.url))
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        wait(async {
            match self.plain.get(&name.into()).await {
                Ok(got) => Some(got.bytes().await.unwrap().to_vec()),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
    }

    pub fn put(&self, name: &str, content: &[u8]) {
        let content = content.to_vec();
        wait(async { self.plain.put(&name.into(), content.into()).await.unwrap() });
    }
}

/// Opens in the primary region, as a command does.
pub fn open(address: &Address, settings: &Settings) -> Result<Source, Error> {
    Source::open(address, settings, Region::Primary, Box::new(|_| {}))
}

pub fn remote(url: &str) -> Address {
    match Place::parse(url).unwrap() {
        Place::Remote(address) => address,
        Place::Local(path) => panic!("{}", path.display()),
    }
}

pub fn wait<T>(work: impl Future<Output = T>) -> T {
    // The other provider would be one that a test installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Where a server of `tests/run.sh` is, such as `http://127.0.0.1:10000`.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: tests/run.sh storage starts the servers")
    })
}

pub fn memory() -> Ground {
    let plain: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    Ground {
        store: Store::of(Arc::clone(&plain)).unwrap(),
        plain,
        settings: Settings::new(),
        url: "az://memory/".to_owned(),
    }
}

/// Settings that lead to Azurite at `server`, which may be a proxy in front of it.
pub fn azurite_settings(server: &str) -> Settings {
    Settings::new()
        .with("AZURE_STORAGE_ENDPOINT", &format!("{server}/{ACCOUNT}"))
        .with("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        .with("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        .with("AZURE_ALLOW_HTTP", "true")
        .with_patience(Duration::from_secs(5))
}

/// A new container in Azurite.
pub fn azurite() -> Ground {
    azurite_through(&server("LIFEBOAT_AZURITE"))
}

/// The same, reached through a proxy.
pub fn azurite_through(front: &str) -> Ground {
    let direct = server("LIFEBOAT_AZURITE");
    let container = name();
    let mut request = put_request(&format!("{direct}/{ACCOUNT}/{container}?restype=container"));
    let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
    AzureAuthorizer::new(&credential, ACCOUNT)
        .try_authorize(&mut request)
        .unwrap();
    send(request);
    let url = format!("az://{container}/");
    let settings = azurite_settings(front);
    Ground {
        store: Store::open(&remote(&url), &settings).unwrap(),
        plain: Arc::new(azurite_plain(&container)),
        settings,
        url,
    }
}

/// A client of object_store alone, without a proxy.
pub fn azurite_plain(container: &str) -> object_store::azure::MicrosoftAzure {
    let direct = server("LIFEBOAT_AZURITE");
    MicrosoftAzureBuilder::new()
        .with_account(ACCOUNT)
        .with_access_key(KEY)
        .with_container_name(container)
        .with_endpoint(format!("{direct}/{ACCOUNT}"))
        .with_allow_http(true)
        .with_retry(few())
        .build()
        .unwrap()
}

/// A new bucket in moto's S3.
pub fn s3() -> Ground {
    s3_through(&server("LIFEBOAT_S3"))
}

/// The same, reached through a proxy.
pub fn s3_through(front: &str) -> Ground {
    let direct = server("LIFEBOAT_S3");
    let bucket = name();
    send(put_request(&format!("{direct}/{bucket}")));
    let url = format!("s3://{bucket}/");
    let settings = Settings::new()
        .with("AWS_ENDPOINT", front)
        .with("AWS_ACCESS_KEY_ID", "id")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("AWS_ALLOW_HTTP", "true")
        .with_patience(Duration::from_secs(5));
    let plain = AmazonS3Builder::new()
        .with_bucket_name(&bucket)
        .with_endpoint(direct)
        .with_access_key_id("id")
        .with_secret_access_key("secret")
        .with_allow_http(true)
        .with_retry(few());
    Ground {
        store: Store::open(&remote(&url), &settings).unwrap(),
        plain: Arc::new(plain.build().unwrap()),
        settings,
        url,
    }
}

/// What S3 says of uploads that were begun and neither committed nor given up.
pub fn unfinished(ground: &Ground) -> String {
    let bucket = ground.url["s3://".len()..].trim_end_matches('/');
    let mut request = put_request(&format!("{}/{bucket}?uploads", server("LIFEBOAT_S3")));
    *request.method_mut() = "GET".parse().unwrap();
    wait(async {
        let options = ClientOptions::new().with_allow_http(true);
        let client = ReqwestConnector::default().connect(&options).unwrap();
        let answer = client.execute(request).await.unwrap();
        assert!(answer.status().is_success());
        String::from_utf8(answer.into_body().bytes().await.unwrap().to_vec()).unwrap()
    })
}

fn few() -> RetryConfig {
    RetryConfig {
        max_retries: 1,
        ..RetryConfig::default()
    }
}

fn name() -> String {
    format!("lifeboat-{:012x}", fastrand::u64(..1 << 48))
}

fn put_request(url: &str) -> HttpRequest {
    let mut request = HttpRequest::new(Vec::new().into());
    *request.method_mut() = "PUT".parse().unwrap();
    *request.uri_mut() = url.parse().unwrap();
    let nothing = object_store::HeaderValue::from_static("0");
    request.headers_mut().insert("content-length", nothing);
    request
}

fn send(request: HttpRequest) {
    let status = wait(async {
        let options = ClientOptions::new().with_allow_http(true);
        let client = ReqwestConnector::default().connect(&options).unwrap();
        client.execute(request).await.unwrap().status()
    });
    assert!(status.is_success(), "{status}");
}

/// An archive of so many members of `size` bytes that do not compress, and its descriptor.
pub fn archive(members: usize, size: usize) -> (Vec<u8>, Descriptor) {
    let started: jiff::Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
    let source = lifeboat_archive::Source {
        host: "adb-1.0.azuredatabricks.net".to_owned(),
        workspace_id: "1".to_owned(),
        cloud: "azure".to_owned(),
    };
    let header = Header::new(
        "lifeboat-test".to_owned(),
        source,
        started,
        Scope::Workspace,
        serde_json::json!({}),
    );
    let options = WriterOptions {
        bag: "bag".to_owned(),
        level: 1,
        threads: 1,
        spill_dir: None,
    };
    let mut writer = Writer::create(Vec::new(), options, &header).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for member in 0..members {
        let content = std::iter::repeat_with(|| random.u8(..))
            .take(size)
            .collect();
        let path = member_path(member);
        writer
            .add(&path, lifeboat_archive::Content::Bytes(content))
            .unwrap();
    }
    let summary = Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: std::collections::BTreeMap::new(),
    };
    let (bytes, sealed) = writer.finish(&summary, started).unwrap();
    let descriptor = Descriptor::new(&header, &summary, &sealed, started);
    (bytes, descriptor)
}

/// Keys for an archive that is encrypted and signed.
pub struct Keys {
    pub protection: Protection,
    pub identities: Identities,
    pub public: PublicKey,
}

impl Keys {
    pub fn new() -> Self {
        use age::secrecy::ExposeSecret as _;
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let identity = age::x25519::Identity::generate();
        let recipients = [identity.to_public().to_string()];
        let identity = write("age.key", identity.to_string().expose_secret());
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let secret = pair.sk.to_box(None).unwrap().into_string();
        let key = SigningKey::load(&write("minisign.key", &secret), || unreachable!()).unwrap();
        Self {
            public: key.public().unwrap(),
            protection: Protection {
                recipients: Recipients::load(&recipients, &[""; 0]).unwrap(),
                signing_key: Some(key),
            },
            identities: Identities::load(&[identity]).unwrap(),
        }
    }
}

pub fn member_path(member: usize) -> String {
    format!("data/workspace/content/{member:06}")
}
