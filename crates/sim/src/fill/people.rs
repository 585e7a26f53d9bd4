//! Users, service principals and groups, some nested, some of the account.

use serde_json::json;

use super::text::{FAMILY, GIVEN, TEAMS};
use super::{Fill, Filler};
use crate::identities::{self, Kind};
use crate::world::World;

/// Domain of the invented people.
const DOMAIN: &str = "contoso.example";

impl Fill {
    /// Names of the groups that belong to the account, not to the workspace.
    #[must_use]
    pub fn account_groups(&self) -> Vec<String> {
        (0..self.groups)
            .filter(|number| is_account(*number))
            .map(group_name)
            .collect()
    }

    /// Makes this fill's account groups known to a workspace of the same account, not yet assigned to it: what a
    /// restore into another region finds.
    pub fn join_account(&self, world: &mut World) {
        for name in self.account_groups() {
            identities::add_unassigned_account_group(world, &name);
        }
    }
}

fn is_account(number: usize) -> bool {
    number % 4 == 3
}

fn group_name(number: usize) -> String {
    let team = TEAMS[number % TEAMS.len()];
    match number / TEAMS.len() {
        0 => team.to_owned(),
        round => format!("{team}-{}", round + 1),
    }
}

/// User name and display name; every tenth user name has upper-case letters.
fn user_name(number: usize) -> (String, String) {
    let (given, family) = (
        GIVEN[number % GIVEN.len()],
        FAMILY[(number / GIVEN.len() + number * 7) % FAMILY.len()],
    );
    let round = number / (GIVEN.len() * FAMILY.len());
    let suffix = if round == 0 {
        String::new()
    } else {
        round.to_string()
    };
    let (big_given, big_family) = (capital(given), capital(family));
    let name = if number % 10 == 9 {
        format!("{big_given}.{big_family}{suffix}@{DOMAIN}")
    } else {
        format!("{given}.{family}{suffix}@{DOMAIN}")
    };
    (name, format!("{big_given} {big_family}"))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    let mut ids = Vec::new();
    for number in 0..filler.fill.users {
        let (name, display) = user_name(number);
        let id = identities::add_user(filler.world, &name, &display, number == 0);
        if number % 5 == 1 {
            entitle(
                filler.world,
                id,
                &["allow-cluster-create", "databricks-sql-access"],
            );
        }
        ids.push(id);
        filler.users.push(name);
    }
    for number in 0..filler.fill.service_principals {
        let hex = |rng: &mut fastrand::Rng| format!("{:08x}", rng.u32(..));
        let (a, b) = (hex(&mut filler.rng), hex(&mut filler.rng));
        let application = format!(
            "{a}-{}-4{}-a{}-{}{}",
            &b[..4],
            &b[5..],
            &a[5..],
            hex(&mut filler.rng),
            &b[..4]
        );
        let id = identities::add_service_principal(
            filler.world,
            &application,
            &format!("etl-runner-{}", number + 1),
        );
        entitle(
            filler.world,
            id,
            &["allow-cluster-create", "workspace-access"],
        );
        ids.push(id);
        filler.service_principals.push(application);
    }
    groups(filler, &ids);
    let names = filler.users.iter().chain(&filler.service_principals);
    let callers: Vec<_> = names
        .filter_map(|name| filler.world.identities.caller_named(name))
        .collect();
    filler.callers.extend(callers);
}

fn groups(filler: &mut Filler<'_>, people: &[i64]) {
    let mut made: Vec<i64> = Vec::new();
    for number in 0..filler.fill.groups {
        let mut members = Vec::new();
        for _ in 0..filler.rng.usize(2..9) {
            if !people.is_empty() {
                members.push(people[filler.rng.usize(0..people.len())]);
            }
        }
        // Chains of three: each third group is the outermost of its chain. Groups of the account hold people only.
        if number % 3 != 0 && !is_account(number) {
            members.extend(made.last());
        }
        let name = group_name(number);
        let id = identities::add_group(filler.world, &name, &members, is_account(number));
        if number % 4 == 1 {
            entitle(filler.world, id, &["allow-cluster-create"]);
        }
        made.push(id);
        filler.groups.push(name);
    }
}

fn entitle(world: &mut World, id: i64, names: &[&str]) {
    if let Some(mut identity) = world.identities.get(id).cloned() {
        let list: Vec<_> = names.iter().map(|name| json!({"value": name})).collect();
        identity.fields.insert("entitlements".into(), json!(list));
        world.identities.put(identity);
    }
}

/// Adds one more user under any name, who also creates things.
pub fn one_more(filler: &mut Filler<'_>, user_name: &str, display_name: &str) {
    identities::add_user(filler.world, user_name, display_name, false);
    if let Some(user) = filler.world.identities.find(Kind::User, user_name) {
        let (id, name) = (user.id, user.key().to_owned());
        filler.users.push(name);
        filler.callers.extend(filler.world.identities.caller(id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let users: HashSet<String> = (0..5_000)
            .map(|number| user_name(number).0.to_lowercase())
            .collect();
        assert_eq!(users.len(), 5_000);
        let groups: HashSet<String> = (0..200).map(group_name).collect();
        assert_eq!(groups.len(), 200);
    }
}
