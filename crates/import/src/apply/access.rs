//! Access control: one PUT per object with its direct grants (`spec/import.md`, "Access control").

use lifeboat_catalog::{Kind, acl};
use lifeboat_databricks::{Body, Safety, segment};

use super::readback::Written;
use super::run::{Done, Fail, Run, Step, does_not_know};
use crate::journal::Op;
use crate::plan::{Action, What};
use crate::resolve::Access;

/// Writes the access control of an object if the plan says so. `acl_id` is its id in the archive's ACL tables,
/// `action.id` its id in the journal, `target` its id in the permissions API of the target.
pub(super) async fn apply(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    acl_id: &str,
    target: &str,
    done: &mut Done,
) -> Result<(), Fail> {
    // What was deleted and made again lost its grants, whatever was planned.
    let entry = run.journal.entry(kind.name, &action.id);
    let remade = action.what == What::Update
        && entry.is_some_and(|entry| entry.is_without_access() && entry.is_linked());
    if !action.writes_access && !remade {
        return Ok(());
    }
    let Some(archived) = run.state.acl(kind.name, acl_id) else {
        return Ok(());
    };
    run.grantees_of(kind.name, acl_id).await;
    let access = run.resolver().access(kind, &archived, &run.caller);
    done.notes.extend(access.notes.iter().cloned());
    put(run, kind, action, target, access, done).await
}

/// Writes these grants.
pub(super) async fn put(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    target: &str,
    mut access: Access,
    done: &mut Done,
) -> Result<(), Fail> {
    let Some(permissions) = kind.permissions else {
        return Ok(());
    };
    let path = format!(
        "/api/2.0/permissions/{}/{}",
        permissions.segment,
        segment(target)
    );
    // Of what is wanted, even if a part of it is refused: the next run does not ask for the same again.
    let wanted = access.digest();
    let mut left_out: Vec<String> = Vec::new();
    loop {
        let body = acl::put_body(&access.grants);
        let step = Step::new(Op::Access, kind.name, &action.id, &action.name)
            .writing(wanted.clone())
            .lacking(&left_out);
        let names = access.grants.iter().map(|grant| &*grant.principal.name);
        let written = run.until_known(names, || {
            let call = run
                .client
                .send("PUT", &path, &[], Body::Json(&body), Safety::Idempotent);
            run.write(&step, call, |_| None)
        });
        let Err(fail) = written.await else {
            run.tell_written(Written::Access(
                permissions.segment.to_owned(),
                target.to_owned(),
            ));
            return Ok(());
        };
        let Some(error) = fail.error() else {
            return Err(fail);
        };
        if error.is_feature_off() {
            done.notes.push(crate::plan::ACCESS_OFF.to_owned());
            return Ok(());
        }
        // The service names a grantee that it does not know: the others are granted.
        let before = access.grants.len();
        // Of two names of which one is part of the other the longer one is meant; the other one has its turn.
        let named = |grant: &&acl::Grant| {
            does_not_know(error, &grant.principal.name) && grant.level != acl::OWNER
        };
        let longest = access.grants.iter().filter(named);
        let longest = longest.map(|grant| grant.principal.name.len()).max();
        access.grants.retain(|grant| {
            let unknown = named(&grant) && Some(grant.principal.name.len()) == longest;
            if unknown {
                left_out.push(grant.principal.name.clone());
                done.notes
                    .push(crate::plan::not_known(&grant.principal.name));
            }
            !unknown
        });
        if access.grants.len() == before {
            return Err(Fail::Other(format!("access control: {error}")));
        }
    }
}
