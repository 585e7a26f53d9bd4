//! What to do about a failure, beside the error and not inside it.

use std::io;
use std::path::{Path, PathBuf};

use lifeboat_archive::ReadError;
use lifeboat_databricks::{ConfigError, Problem};

use super::Failure;

pub(super) fn of(failure: &Failure) -> Vec<String> {
    let hint = match failure {
        Failure::Config(error) => config(error),
        Failure::Client { source, .. } | Failure::Token { source, .. } => service(source),
        Failure::LimitsFile { .. } | Failure::Limits { .. } => {
            Some("give `default`, `off`, or a file with lines such as `workspace-export = 30/s`".to_owned())
        }
        Failure::Read { source, .. } => match lifeboat_storage::Error::inside(source) {
            Some(error) => storage(error),
            None => disk(source),
        },
        Failure::NotMetrics { .. } => Some("give `--metrics` a file of its own".to_owned()),
        Failure::KeepsNothing => Some("say what to keep, for example `--keep-last 3 --keep-daily 7 --keep-weekly 5`".to_owned()),
        Failure::Unattended => Some("add `--apply` to delete, or `--dry-run` to see what would be deleted".to_owned()),
        Failure::Fleet { .. } => {
            Some("keys are the options of `lifeboat-export run` without their dashes; examples/fleet.toml shows a file".to_owned())
        }
        Failure::Storage(error) => storage(error),
        Failure::BaseNotSigned { .. } => Some("it takes over only what the same key signed: name such an archive, or leave `--base` out of this run alone".to_owned()),
        Failure::Open { archive, source } => match bag_below(Path::new(archive)) {
            Some(bag) if source.is_not_archive() => Some(format!("the archive is in {}: name that folder", bag.display())),
            _ => read(source),
        },
        Failure::Inspect(error) => inspect(error),
        Failure::Damaged { .. } => Some("take another archive; objects that are intact can still be read one by one with `cat` and `extract PATH`".to_owned()),
        Failure::Export(error) => export(error),
        Failure::Import(error) => import(error),
        Failure::Stopped { .. } => Some("run the same command again to go on".to_owned()),
        Failure::SecretValues => Some("add `--encrypt-to RECIPIENT`, or leave out `--secret-values`".to_owned()),
        Failure::NotConfirmed { .. } => Some("nothing was written; name the target with `--target <workspace id>` to go on without a question".to_owned()),
        Failure::File { source, .. } | Failure::Output { source } => disk(source),
        _ => None,
    };
    hint.into_iter().collect()
}

/// The only sub-folder of a folder, when it is an unpacked archive: what `tar` leaves without `--strip-components 1`.
fn bag_below(folder: &Path) -> Option<PathBuf> {
    let mut found = None;
    // A folder that cannot be read has no hint to give; the error itself is told.
    for entry in fs_err::read_dir(folder).ok()?.flatten() {
        if entry.path().join("bagit.txt").is_file() && found.replace(entry.path()).is_some() {
            return None;
        }
    }
    found
}

fn config(error: &ConfigError) -> Option<String> {
    Some(match error {
        ConfigError::ProfileMissing { known, exists: true, .. } if !known.is_empty() => {
            format!("the file has the profiles {}: name one of them with `--profile`", known.join(", "))
        }
        ConfigError::ProfileMissing { .. } => {
            "make the profile with `databricks configure --profile NAME`, or set DATABRICKS_HOST and DATABRICKS_TOKEN".to_owned()
        }
        ConfigError::NoHost { .. } => "name a profile with `--profile`, or set DATABRICKS_HOST".to_owned(),
        ConfigError::NoMethod { .. } => {
            "name a profile with `--profile`, or set what one of the methods needs; spec/credentials.md lists them".to_owned()
        }
        ConfigError::ResourceHost { .. } => "set DATABRICKS_HOST, or check the resource id and the rights on it".to_owned(),
        ConfigError::Conflict { .. } => {
            "unset what belongs to all methods but one, or choose one with DATABRICKS_AUTH_TYPE".to_owned()
        }
        ConfigError::BadHost { .. } => {
            "give the address that the browser shows for the workspace: https://adb-<id>.<n>.azuredatabricks.net".to_owned()
        }
        ConfigError::Unsupported { .. } => "set DATABRICKS_AUTH_TYPE, or auth_type of the profile, to one of them".to_owned(),
        ConfigError::BadToken => "copy the token again, without quotes and line ends".to_owned(),
        _ => return None,
    })
}

/// A call that failed, most of all the first one.
fn service(error: &lifeboat_databricks::Error) -> Option<String> {
    Some(match error.problem() {
        Problem::LoginPage { private_link: true, .. } => {
            "the workspace takes calls only from its private network: run this inside it".to_owned()
        }
        Problem::LoginPage { .. } => {
            "the host answers people, not programs: check that it is the workspace's own address and that the token belongs to it".to_owned()
        }
        Problem::Token { refused: true, method, .. } => token(method).to_owned(),
        Problem::Token { .. } => {
            "check that this network reaches who gives the tokens, and ARM_ENVIRONMENT in a sovereign cloud; else try again later".to_owned()
        }
        Problem::Network { .. } => {
            "check the host in the profile or in DATABRICKS_HOST, and that this network reaches it".to_owned()
        }
        Problem::Unexpected { .. } => "check that the host is an Azure Databricks workspace".to_owned(),
        Problem::Refused { status: 401, .. } => {
            "the token is wrong or has expired: make a new one in the workspace and put it into the profile".to_owned()
        }
        Problem::Refused { status: 403, .. } => {
            "the token is wrong or has expired, or this caller lacks the rights: a backup needs a workspace administrator".to_owned()
        }
        Problem::Refused { status: 404, .. } => "check that the host is an Azure Databricks workspace".to_owned(),
        Problem::Refused { throttled: true, .. } => "the service is busy: try again later, or lower `--limits`".to_owned(),
        Problem::Refused { status: 500.., .. } => "the service has a bad moment: try again later".to_owned(),
        Problem::Local { source } => return disk(source),
        _ => return None,
    })
}

/// What to look at when a method gives no token.
fn token(method: &str) -> &'static str {
    match method {
        "oauth-m2m" => {
            "check client_id and client_secret: the secret of a service principal in Databricks has an end"
        }
        "env-oidc" | "file-oidc" => {
            "check the federation policy of the service principal: issuer, audience and subject are those of the token"
        }
        "azure-client-secret" => {
            "check ARM_CLIENT_ID, ARM_TENANT_ID and ARM_CLIENT_SECRET: the secret of an application in Entra ID has an end"
        }
        "azure-msi" => {
            "check that this machine has the identity; ARM_CLIENT_ID chooses one of several"
        }
        "azure-workload-identity" => {
            "check the federated credential of the application, and that the pod uses its service account"
        }
        "azure-cli" => "log in with `az login`, into the directory of the workspace",
        "databricks-cli" => "log in with `databricks auth login`",
        _ => "check the credentials",
    }
}

fn read(error: &ReadError) -> Option<String> {
    Some(match error {
        ReadError::NotAnArchive { .. } => "an archive is a file X.tar.zst made by `lifeboat-export run`, or the folder that `tar` unpacked it into".to_owned(),
        ReadError::UnsupportedVersion { .. } => "read it with the version of Lifeboat that wrote it, or a later one".to_owned(),
        ReadError::Truncated { .. } => "the file was copied or uploaded only in part, or something was appended to it: fetch it again".to_owned(),
        ReadError::Damaged { .. } => "`lifeboat-inspect verify` names every damaged place".to_owned(),
        ReadError::Io { source, .. } | ReadError::Spill { source } => {
            return match lifeboat_storage::Error::inside(source) {
                Some(error) => storage(error),
                None => disk(source),
            };
        }
        _ => return None,
    })
}

fn inspect(error: &lifeboat_inspect::Error) -> Option<String> {
    use lifeboat_inspect::Error;
    Some(match error {
        Error::Archive { source } => return read(source),
        Error::NotFound { .. } => {
            "`lifeboat-inspect ls ARCHIVE` lists the kinds, `ls ARCHIVE /` the workspace".to_owned()
        }
        Error::Ambiguous { .. } => {
            "name it by its id: `lifeboat-inspect ls ARCHIVE KIND` lists ids and names".to_owned()
        }
        Error::NoContent { .. } => {
            "`lifeboat-inspect ls ARCHIVE NAME` lists what is in it".to_owned()
        }
        Error::Pattern { .. } => "patterns know *, **, ?, [ab] and {a,b}".to_owned(),
        Error::Write { source, .. } => {
            return disk_and(
                source,
                "the files that were written before are whole and stay",
            );
        }
        _ => return None,
    })
}

/// A place for archives that cannot be read or written.
fn storage(error: &lifeboat_storage::Error) -> Option<String> {
    use lifeboat_storage::Error;
    Some(match error {
        Error::Exists { .. } => {
            "give another name, or a folder ending in `/`: the archive is named after the workspace and the time".to_owned()
        }
        Error::NoName { .. } => "give a file, or a folder ending in `/`".to_owned(),
        Error::NoAccount { .. } => {
            "set AZURE_STORAGE_ACCOUNT_NAME, or write abfss://<container>@<account>.dfs.core.windows.net/...".to_owned()
        }
        Error::Settings { url, .. } | Error::Credentials { url, .. } if url.starts_with("s3") => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where the machine has a role: spec/storage.md, \"Credentials\"".to_owned()
        }
        Error::Settings { .. } | Error::Credentials { .. } => {
            "set the credentials of one method: spec/storage.md, \"Credentials\", lists them; AZURE_USE_AZURE_CLI=true takes those of `az login`".to_owned()
        }
        Error::NotFound { .. } => "check the name; `lifeboat-export run` says it at its end, and FOLDER/latest is the newest one of a folder".to_owned(),
        Error::NotInSecondary { .. } => {
            "take an archive that was written before, or try again when the copy is up to date".to_owned()
        }
        Error::NoLatest { .. } => {
            "`lifeboat-inspect list PLACE` says what is there; name the archive itself to take one that is not complete".to_owned()
        }
        Error::ManyWorkspaces { .. } => "name one of them with `--workspace`".to_owned(),
        Error::NoSecondary { url } if url.starts_with("s3") => {
            "leave out `--secondary`, and name the bucket that holds the copy".to_owned()
        }
        Error::NoSecondary { .. } => {
            "leave out `--secondary`; of an endpoint of your own set AZURE_STORAGE_SECONDARY_ENDPOINT too".to_owned()
        }
        Error::NoContainer { .. } => {
            "check the container and the account; Lifeboat makes no containers".to_owned()
        }
        Error::Refused { doing, refusal, signature_until, .. } => refused(doing, refusal, signature_until.as_deref()),
        Error::Throttled { .. } => "try again later, or raise the limits of the account".to_owned(),
        Error::Changed { .. } => "run the command again; an archive that Lifeboat wrote is never changed, so look who does".to_owned(),
        Error::Unreachable { .. } => "check the name of the account and that this network reaches it".to_owned(),
        Error::Io { source, .. } => return disk_and(source, NOTHING_LEFT),
        Error::Protect(error) => return protect(error),
        _ => return None,
    })
}

/// Keys, ciphertext, signatures.
fn protect(error: &lifeboat_storage::ProtectError) -> Option<String> {
    use lifeboat_storage::ProtectError;
    Some(match error {
        ProtectError::File { source, .. } => return disk(source),
        ProtectError::Recipient { .. } => {
            "give a public key as `age-keygen` prints it, such as age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()
        }
        ProtectError::Name { encrypted: true, .. } => {
            "let the name end in .tar.zst.age, or give a folder ending in `/`".to_owned()
        }
        ProtectError::Name { .. } => {
            "let the name end in .tar.zst, or add `--encrypt-to RECIPIENT`".to_owned()
        }
        ProtectError::Identity { .. } => {
            "give the file that `age-keygen -o FILE` made".to_owned()
        }
        ProtectError::SigningKey { .. } => {
            "give the secret key that `minisign -G` made, and its password in LIFEBOAT_SIGN_PASSWORD".to_owned()
        }
        ProtectError::PublicKey { .. } => {
            "give the file minisign.pub that `minisign -G` made, or the key in its second line".to_owned()
        }
        ProtectError::Locked { .. } => {
            "name the file with its secret key by `--identity FILE`, or in LIFEBOAT_IDENTITY_FILE".to_owned()
        }
        ProtectError::NoFittingIdentity { passphrase: true, .. } => {
            "decrypt it with `age -d` first".to_owned()
        }
        ProtectError::NoFittingIdentity { .. } => {
            "give the secret key of one of those to whom it was encrypted; a beginning that was changed looks the same".to_owned()
        }
        ProtectError::Ciphertext { .. } => {
            "take another archive, or another copy of this one".to_owned()
        }
        ProtectError::NotAuthentic { .. } => {
            "do not use it before you know why: check the key, and that the archive and the files beside it were moved and renamed together".to_owned()
        }
        _ => return None,
    })
}

/// Why a store may have refused; most refusals look alike.
fn refused(doing: &str, refusal: &lifeboat_storage::Refusal, until: Option<&str>) -> String {
    const SKEW: i64 = 300;
    let expired = until
        .and_then(|until| until.parse::<jiff::Timestamp>().ok())
        .is_some_and(|until| until <= jiff::Timestamp::now());
    if let (true, Some(until)) = (expired, until) {
        return format!("the shared access signature expired at {until}: make a new one");
    }
    match refusal.clock_ahead {
        Some(ahead) if ahead.abs() > SKEW => format!(
            "the clock of this machine is {} seconds {} that of the store: set it",
            ahead.abs(),
            if ahead > 0 { "ahead of" } else { "behind" }
        ),
        // A key or a signature that is wrong is refused with 403.
        _ if refusal.status == 401 => "the token is wrong, has expired, or is none for storage: one that was given in \
              AZURE_STORAGE_TOKEN is not renewed, those of the other methods are; spec/storage.md, \"Credentials\", \
              lists them"
            .to_owned(),
        // Who may write need not be allowed to list.
        _ if doing == lifeboat_storage::LIST => "check the credentials and their right to list (`l` of a shared access \
              signature, `ListBucket` of S3): `latest`, `list`, `status`, `prune` and `verify --all` need it; \
              spec/storage.md, \"Rights\", has the list"
            .to_owned(),
        _ => "check the credentials and their rights: an export needs to read and write in the container, \
              everything else to read; spec/storage.md, \"Rights\", has the list"
            .to_owned(),
    }
}

/// An export writes into a file without a name of its own.
const NOTHING_LEFT: &str = "nothing was left behind";

/// A base that cannot be used never becomes a full run by itself: it takes hours more.
const NO_BASE: &str = "name an older archive, or leave --base out to read everything; `lifeboat-inspect verify` names every damaged place";

fn export(error: &lifeboat_export::Error) -> Option<String> {
    use lifeboat_export::{Error, Stop};
    Some(match error {
        Error::Identity { source, .. } => return service(source),
        Error::Stopped {
            stop: Stop::CredentialsLost { .. },
        } => "renew the credentials and run the same command again".to_owned(),
        Error::Stopped { .. } => "check the network and run the same command again".to_owned(),
        Error::BaseOfAnother { .. } => "name an archive of this workspace, or leave --base out to read everything; nothing was read or written".to_owned(),
        Error::Base { source, .. } if source.is_damage() => NO_BASE.to_owned(),
        Error::Base { source, .. } => return read(source),
        Error::BaseRecord { .. } => NO_BASE.to_owned(),
        Error::Temporary { source, .. } => return disk_and(source, NOTHING_LEFT),
        Error::Write(error) => {
            return match super::first_storage(error) {
                Some(error) => storage(error),
                None => first_io(error).and_then(|error| disk_and(error, NOTHING_LEFT)),
            };
        }
        _ => return None,
    })
}

fn import(error: &lifeboat_import::Error) -> Option<String> {
    use lifeboat_import::Error;
    if let Error::Stopped { cause, .. } | Error::Switch { cause, .. } = error
        && cause.contains("No space left on device")
    {
        return Some(
            "make room on the disk of the journal and run the same command again to go on"
                .to_owned(),
        );
    }
    if let Some(hint) = error.hint() {
        return Some(hint.to_owned());
    }
    match error {
        Error::Archive { source, .. } => read(source),
        Error::Service { source, .. } => {
            service(source).map(|hint| hint.replace("a backup needs", "an import needs"))
        }
        Error::Io { source, .. } | Error::MapFile { source, .. } => disk(source),
        Error::Selection { .. } => {
            Some("`lifeboat-inspect ls ARCHIVE` shows what is in it".to_owned())
        }
        Error::Record { .. } => Some("take another archive".to_owned()),
        _ => None,
    }
}

fn disk(error: &io::Error) -> Option<String> {
    Some(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room on that disk, or use another one".to_owned()
        }
        io::ErrorKind::PermissionDenied => "check who owns the file and the folder".to_owned(),
        io::ErrorKind::NotFound => "check the path".to_owned(),
        _ => return None,
    })
}

/// The same with what a command leaves on a full disk.
fn disk_and(error: &io::Error, left: &str) -> Option<String> {
    let hint = disk(error)?;
    Some(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            format!("{hint}; {left}")
        }
        _ => hint,
    })
}

/// The first I/O error in a chain.
fn first_io<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
