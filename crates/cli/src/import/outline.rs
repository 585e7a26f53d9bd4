//! A plan for people: grouped per kind and action in the order of execution, what the target lacks, what it costs, and
//! what an apply would be refused for (`spec/import.md`, "Plan").

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_console::{Align, Console, Table, duration};
use lifeboat_import::{Action, Change, Cost, Effect, Finding, Plan, What};

/// So many objects of a group are shown without `-v`.
const EXAMPLES: usize = 3;

/// So many characters of a value are printed; its length is said when it has more.
const MOST_CHARACTERS: usize = 200;

/// So many findings of one effect are printed without `-v`.
const MOST_FINDINGS: usize = 20;

/// The order in which the actions of a kind are told.
const ORDER: [What; 7] = [
    What::Create,
    What::Update,
    What::Adopt,
    What::Skip,
    What::Blocked,
    What::Delete,
    What::Unchanged,
];

/// Every group of actions with a few examples, or with `-v` every object and where it changes.
pub(crate) fn groups(console: &Console, plan: &Plan) {
    let mut order: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<(&str, What), Vec<&Action>> = BTreeMap::new();
    for action in &plan.actions {
        if !order.contains(&action.kind.as_str()) {
            order.push(&action.kind);
        }
        groups
            .entry((&action.kind, action.what))
            .or_default()
            .push(action);
    }
    for kind in order {
        let told: Vec<(What, &Vec<&Action>)> = ORDER
            .iter()
            .filter_map(|what| Some((*what, groups.get(&(kind, *what))?)))
            .filter(|(what, actions)| is_told(console, *what, actions))
            .collect();
        if told.is_empty() {
            continue;
        }
        console.line("");
        console.heading(kind);
        for (what, actions) in told {
            group(console, what, actions);
        }
    }
}

/// What is unchanged and lacks nothing is in the table alone.
fn is_told(console: &Console, what: What, actions: &[&Action]) -> bool {
    what != What::Unchanged
        || console.is_verbose()
        || actions.iter().any(|action| !action.notes.is_empty())
}

fn group(console: &Console, what: What, actions: &[&Action]) {
    let word = what.word();
    let count = actions.len();
    if console.is_verbose() {
        console.line(&format!("  {word} {count}"));
        for action in actions {
            console.line(&format!("    {}", describe(action)));
            for change in &action.changes {
                console.line(&format!("      {}", change_text(change)));
            }
        }
        return;
    }
    // An object with something to say gets a line of its own; bare names share one.
    let (telling, bare): (Vec<&&Action>, Vec<&&Action>) =
        actions.iter().partition(|action| tells(action, what));
    if telling.is_empty() {
        let names: Vec<&str> = bare
            .iter()
            .take(EXAMPLES)
            .map(|action| action.name.as_str())
            .collect();
        let mut line = format!("  {word} {count}: {}", names.join(", "));
        if count > names.len() {
            line.push_str(&format!(" and {} more", count - names.len()));
        }
        console.line(&line);
        return;
    }
    console.line(&format!("  {word} {count}"));
    for action in telling.iter().take(EXAMPLES) {
        console.line(&format!("    {}", describe(action)));
    }
    let shown = telling.len().min(EXAMPLES);
    if count > shown {
        console.line(&format!("    and {} more, -v shows all", count - shown));
    }
}

/// Whether an object has more to tell than its name.
fn tells(action: &Action, what: What) -> bool {
    !action.notes.is_empty()
        || matches!(what, What::Update | What::Skip | What::Blocked)
        || (what == What::Adopt && action.reason.is_some())
}

/// `nightly: update; access control; /settings/max_concurrent_runs`
fn describe(action: &Action) -> String {
    let mut parts: Vec<&str> = action
        .reason
        .iter()
        .chain(&action.notes)
        .chain(&action.remarks)
        .map(String::as_str)
        .collect();
    for change in &action.changes {
        if !parts.contains(&change.place.as_str()) {
            parts.push(&change.place);
        }
    }
    if parts.is_empty() {
        action.name.clone()
    } else {
        format!("{}: {}", action.name, parts.join("; "))
    }
}

/// `/settings/max_concurrent_runs: 1 -> 2`, or the place alone.
fn change_text(change: &Change) -> String {
    if change.from.is_none() && change.to.is_none() {
        return change.place.clone();
    }
    let shown = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or_else(
            || "nothing".to_owned(),
            |value| shortened(&value.to_string()),
        )
    };
    format!(
        "{}: {} -> {}",
        change.place,
        shown(&change.from),
        shown(&change.to)
    )
}

fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= MOST_CHARACTERS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MOST_CHARACTERS).collect();
    format!("{kept}... ({length} characters)")
}

/// One line per thing that the target lacks or about which nobody could be asked.
pub(crate) fn preflight(console: &Console, findings: &[Finding]) {
    let told: Vec<&Finding> = findings
        .iter()
        .filter(|one| one.effect != Effect::Remark || console.is_verbose())
        .collect();
    if told.is_empty() {
        return;
    }
    console.answer("");
    console.heading("what the target lacks, or nobody could check:");
    let mut shown: BTreeMap<Effect, usize> = BTreeMap::new();
    for finding in told {
        let count = shown.entry(finding.effect).or_default();
        *count += 1;
        if *count <= MOST_FINDINGS || console.is_verbose() {
            console.answer(&format!("- {}", finding_text(finding)));
        }
    }
    for (effect, count) in shown {
        if count > MOST_FINDINGS && !console.is_verbose() {
            console.answer(&format!(
                "- {}: {} more, -v shows all",
                effect.word(),
                count - MOST_FINDINGS
            ));
        }
    }
}

/// `blocks: node type Standard_X: the target does not offer it; needed by cluster a, cluster b and 3 more; map it: ...`
pub(crate) fn finding_text(finding: &Finding) -> String {
    let noun = finding.check.replace('-', " ");
    let mut text = format!("{}: {noun}", finding.effect.word());
    if !finding.name.is_empty() {
        text.push(' ');
        text.push_str(&finding.name);
    }
    text.push_str(": ");
    text.push_str(&finding.what);
    if finding.needed > 0 {
        let named: Vec<&str> = finding
            .needed_by
            .iter()
            .take(EXAMPLES)
            .map(String::as_str)
            .collect();
        text.push_str("; needed by ");
        text.push_str(&named.join(", "));
        let more = finding.needed.saturating_sub(named.len() as u64);
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
    }
    if !finding.hint.is_empty() {
        text.push_str("; ");
        text.push_str(&finding.hint);
    }
    text
}

fn writing(writes: u64) -> String {
    let writing = if writes == 1 {
        "call that writes"
    } else {
        "calls that write"
    };
    format!("{writes} {writing}")
}

/// Calls per family with the limit and the time at it, and what that adds up to.
pub(crate) fn cost(console: &Console, plan: &Plan) {
    let cost = &plan.cost;
    let seconds = |seconds: f64| duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    if cost.calls.values().sum::<u64>() > 0 {
        let limits = &cost.limits;
        let mut table = Table::new(&[
            ("family", Align::Left),
            ("calls", Align::Right),
            ("limit", Align::Right),
            ("at least", Align::Right),
        ]);
        for (family, calls) in cost.calls.iter().filter(|(_, calls)| **calls > 0) {
            let limit = limits
                .get(*family)
                .map_or_else(String::new, ToString::to_string);
            let least = cost.seconds.get(family).copied().unwrap_or_default();
            table.row([
                family.name().to_owned(),
                calls.to_string(),
                limit,
                seconds(least),
            ]);
        }
        console.line("");
        console.table(&table);
    }
    let slowest = cost
        .seconds
        .iter()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .filter(|(_, least)| **least > 0.0)
        .map_or_else(String::new, |(family, _)| {
            format!(" ({family} is the slowest)")
        });
    if limits_are_off(cost) {
        console.line(&format!("{}, without limits", writing(cost.writes)));
        return;
    }
    console.line(&format!(
        "an apply takes at least {}: {} in {}{slowest}, then reading back in {}",
        seconds(cost.floor + cost.read_back),
        writing(cost.writes),
        seconds(cost.floor),
        seconds(cost.read_back),
    ));
}

fn limits_are_off(cost: &Cost) -> bool {
    cost.calls.keys().all(|family| {
        cost.limits
            .get(*family)
            .is_none_or(|limit| limit.rates.is_empty())
    }) && !cost.calls.is_empty()
}

/// What an apply would be refused for.
pub(crate) fn refusals(console: &Console, plan: &Plan) {
    if console.is_json() {
        return;
    }
    for refusal in &plan.refusals {
        let mut text = format!("an apply would be refused: {}", refusal.what);
        if !refusal.hint.is_empty() {
            text.push_str("; ");
            text.push_str(&refusal.hint);
        }
        console.warning(&text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use lifeboat_console::{Form, Settings, Verbosity};

    fn action(kind: &str, name: &str, what: What) -> Action {
        Action::new(kind, name, name, what)
    }

    fn plan() -> Plan {
        let mut actions: Vec<Action> = (0..5)
            .map(|number| action("users", &format!("u{number}@example.com"), What::Create))
            .collect();
        let mut changed = action("jobs", "nightly", What::Update);
        changed.changes = vec![
            Change {
                place: "/settings/max_concurrent_runs".to_owned(),
                from: Some(json!(1)),
                to: Some(json!(2)),
            },
            Change::at("access control"),
        ];
        actions.push(changed);
        for number in 0..4 {
            actions.push(
                action("jobs", &format!("b{number}"), What::Blocked)
                    .because("cluster c is nowhere"),
            );
        }
        actions.push(action("jobs", "same", What::Unchanged));
        let mut owned = action("jobs", "unowned", What::Unchanged);
        owned.notes.push("owner missing".to_owned());
        actions.push(owned);
        let finding = |effect, name: &str, needed| Finding {
            effect,
            check: "node-type",
            name: name.to_owned(),
            what: "the target does not offer it".to_owned(),
            needed_by: vec!["cluster a".to_owned(), "cluster b".to_owned()],
            needed,
            hint: "map it".to_owned(),
        };
        Plan {
            actions,
            preflight: vec![
                finding(Effect::Blocks, "Standard_X", 4),
                finding(Effect::Remark, "Standard_Y", 2),
            ],
            ..Plan::default()
        }
    }

    fn printed(verbosity: Verbosity) -> String {
        let (console, capture) = Console::capture(Settings {
            form: Form::Text,
            verbosity,
            ..Settings::default()
        });
        let plan = plan();
        groups(&console, &plan);
        preflight(&console, &plan.preflight);
        cost(&console, &plan);
        capture.out()
    }

    #[test]
    fn groups_show_a_few_examples() {
        insta::assert_snapshot!(printed(Verbosity::Normal));
    }

    #[test]
    fn verbose_shows_every_object_and_where_it_changes() {
        insta::assert_snapshot!(printed(Verbosity::Verbose));
    }

    #[test]
    fn long_values_say_how_long_they_are() {
        let text = shortened(&"x".repeat(300));
        assert!(text.ends_with("... (300 characters)"), "{text}");
    }
}
