//! DBFS files, global init scripts and secret scopes.

use bytes::Bytes;

use super::text::{self, SUBJECTS, TEAMS, pick};
use super::{Filler, tree};

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    dbfs(filler);
    init_scripts(filler);
    scopes(filler);
}

/// A file in DBFS; the answer is its path.
fn put(filler: &mut Filler<'_>, path: String, content: impl Into<Bytes>) -> String {
    crate::dbfs::put(filler.world, &path, content.into());
    path
}

fn dbfs(filler: &mut Filler<'_>) {
    let count = (filler.fill.clusters / 3).clamp(2, 12);
    for number in 0..count {
        let subject = SUBJECTS[number % SUBJECTS.len()];
        let jar = text::binary(&mut filler.rng, 4_000 + number * 700);
        let jar = put(
            filler,
            format!("/FileStore/jars/{subject}-assembly-1.{number}.jar"),
            [&b"PK\x03\x04"[..], &jar].concat(),
        );
        filler.jars.push(jar);
        let wheel = text::binary(&mut filler.rng, 2_500 + number * 300);
        let wheel = put(
            filler,
            format!("/FileStore/wheels/{subject}_tools-1.{number}-py3-none-any.whl"),
            [&b"PK\x03\x04"[..], &wheel].concat(),
        );
        filler.wheels.push(wheel);
        let script = put(
            filler,
            format!("/FileStore/scripts/install-{subject}.sh"),
            shell(subject, number),
        );
        filler.scripts.push(script);
        let program = put(
            filler,
            format!("/FileStore/programs/{subject}_{number}.py"),
            format!("import sys\n\nprint(\"{subject}\", sys.argv, {number})\n"),
        );
        filler.programs.push(program);
    }
    put(
        filler,
        "/databricks/init/cluster-defaults.sh".into(),
        shell("defaults", 0),
    );
    put(
        filler,
        "/databricks/init/etl/mount-certificates.sh".into(),
        shell("certificates", 1),
    );
    for number in 0..filler.fill.dbfs_files {
        let content = tree::csv(filler);
        put(
            filler,
            format!(
                "/FileStore/tables/{}/part-{number:05}.csv",
                SUBJECTS[number % SUBJECTS.len()]
            ),
            content,
        );
    }
    if filler.fill.dbfs_files > 0 {
        // More than two blocks of 1 MB, so that reading and writing go in pieces.
        let large = text::binary(&mut filler.rng, 2_600_000);
        put(filler, "/FileStore/models/large.bin".into(), large);
    }
}

fn shell(what: &str, number: usize) -> String {
    format!(
        "#!/bin/bash\nset -euo pipefail\necho \"preparing {what}\" >> /tmp/init-{number}.log\npip install --quiet {what}-tools==1.{number}\n"
    )
}

fn init_scripts(filler: &mut Filler<'_>) {
    for number in 0..filler.fill.init_scripts {
        let what = SUBJECTS[number % SUBJECTS.len()];
        crate::init_scripts::add(
            filler.world,
            &format!("{:02}-{what}", number + 1),
            shell(what, number).as_bytes(),
            number % 4 != 3,
        );
    }
}

fn scopes(filler: &mut Filler<'_>) {
    for number in 0..filler.fill.scopes {
        let name = match number / TEAMS.len() {
            0 => TEAMS[number].to_owned(),
            round => format!("{}-{}", TEAMS[number % TEAMS.len()], round + 1),
        };
        let owner = filler.somebody();
        crate::secrets::create_scope(filler.world, &name, &owner);
        for key in 0..filler.rng.usize(1..6) {
            let value = format!("value-{}", filler.rng.u64(..));
            let key = format!("{}-key-{key}", pick(&mut filler.rng, SUBJECTS));
            crate::secrets::put_secret(filler.world, &name, &key, value.as_bytes());
        }
        if let Some(group) = filler.one(|filler| &filler.groups) {
            crate::secrets::set_acl(filler.world, &name, &group, "READ");
        }
        if let Some(runner) = filler.one(|filler| &filler.service_principals) {
            crate::secrets::set_acl(filler.world, &name, &runner, "WRITE");
        }
        filler.scopes.push(name);
    }
}
