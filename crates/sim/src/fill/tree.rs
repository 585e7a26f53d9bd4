//! Folders, notebooks, workspace files, other objects and git folders.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::json;

use super::Filler;
use super::text::{self, FOLDERS, Language, SUBJECTS, TEAMS, VERBS, pick};
use crate::http::Caller;
use crate::tree::{Object, put};

/// Deepest folder below `/`.
const DEPTH: usize = 7;

/// Above this many notebooks they become shorter, so that 100,000 fit into memory.
const MANY: usize = 3_000;

/// Makes them all.
pub fn fill(filler: &mut Filler<'_>) {
    let homes: HashMap<String, Caller> = filler
        .callers
        .iter()
        .filter(|caller| !caller.service_principal)
        .map(|caller| (format!("/Users/{}", caller.name), caller.clone()))
        .collect();
    let places = folders(filler);
    notebooks(filler, &places, &homes);
    files(filler, &places);
    others(filler, &places);
    git_folders(filler);
}

/// Makes the folders; the answer holds those that may hold something, homes included.
fn folders(filler: &mut Filler<'_>) -> Vec<String> {
    let mut places: Vec<String> = filler
        .users
        .iter()
        .map(|user| format!("/Users/{user}"))
        .collect();
    if places.is_empty() {
        places.push("/Shared".into());
    }
    let mut used = HashSet::new();
    for number in 0..filler.fill.folders {
        let path = loop {
            let parent = match number {
                _ if number < TEAMS.len().min(filler.fill.folders / 4) => "/Shared".to_owned(),
                _ if filler.chance(20) => String::new(),
                _ => places[filler.rng.usize(0..places.len())].clone(),
            };
            if parent.matches('/').count() >= DEPTH {
                continue;
            }
            let name = if parent == "/Shared" {
                TEAMS[number % TEAMS.len()]
            } else {
                pick(&mut filler.rng, FOLDERS)
            };
            let name = if used.contains(&format!("{parent}/{name}")) {
                format!("{name} {number}")
            } else {
                name.to_owned()
            };
            break format!("{parent}/{name}");
        };
        used.insert(path.clone());
        let owner = filler.somebody();
        let id = put(filler.world, &path, Object::Directory, &owner);
        filler.folders.push((path.clone(), id));
        // Each eighth folder stays empty.
        if number % 8 != 7 {
            places.push(path);
        }
    }
    places
}

fn notebooks(filler: &mut Filler<'_>, places: &[String], homes: &HashMap<String, Caller>) {
    let mut used: HashSet<String> = HashSet::with_capacity(filler.fill.notebooks);
    for number in 0..filler.fill.notebooks {
        let place = &places[filler.rng.usize(0..places.len())];
        let (verb, subject) = (
            pick(&mut filler.rng, VERBS),
            pick(&mut filler.rng, SUBJECTS),
        );
        let mut path = match filler.rng.u8(0..4) {
            0 => format!("{place}/{:02} - {verb} {subject}", filler.rng.u8(1..20)),
            1 => format!("{place}/{verb}-{subject}"),
            _ => format!("{place}/{verb}_{subject}"),
        };
        if !used.insert(path.clone()) {
            path = format!("{path} ({number})");
            used.insert(path.clone());
        }
        let owner = match homes.get(place) {
            Some(owner) => owner.clone(),
            None => filler.somebody(),
        };
        let object = notebook(filler, number);
        let id = put(filler.world, &path, object, &owner);
        filler.notebooks.push((path, id));
    }
}

fn notebook(filler: &mut Filler<'_>, number: usize) -> Object {
    let title = format!("Notebook {number}");
    let cells = match filler.fill.cells {
        0 if filler.fill.notebooks > MANY => filler.rng.usize(1..6),
        0 => filler.rng.usize(3..26),
        cells => cells,
    };
    if filler.chance(40) {
        let cell = format!("# {title}\nprint({})", filler.rng.u32(..));
        let content = ipynb(&title, &cell).into_bytes().into();
        return Object::Notebook {
            language: "PYTHON",
            content,
            jupyter: true,
        };
    }
    let language = Language::any(&mut filler.rng);
    let text = text::notebook(&mut filler.rng, language, &title, cells);
    Object::Notebook {
        language: language.name(),
        content: Bytes::from(text),
        jupyter: false,
    }
}

/// A notebook in Jupyter's form with one cell.
pub fn ipynb(title: &str, cell: &str) -> String {
    let lines: Vec<&str> = cell.split_inclusive('\n').collect();
    json!({
        "cells": [{"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [], "source": lines}],
        "metadata": {"application/vnd.databricks.v1+notebook": {"language": "python", "notebookName": title}, "language_info": {"name": "python"}},
        "nbformat": 4, "nbformat_minor": 0,
    })
    .to_string()
}

fn files(filler: &mut Filler<'_>, places: &[String]) {
    for number in 0..filler.fill.files {
        let place = &places[filler.rng.usize(0..places.len())];
        let subject = pick(&mut filler.rng, SUBJECTS);
        let (name, content) = match number % 6 {
            0 => (format!("{subject}_{number}.yml"), format!("table: {subject}\nbatch: {number}\nretries: 3\n").into_bytes()),
            1 => (format!("{subject}_{number}.bin"), binary(filler, 20_000)),
            2 => (format!("helpers_{number}.py"), format!("def load_{subject}(spark):\n    return spark.table(\"bronze.{subject}_{number}\")\n").into_bytes()),
            3 => (format!("requirements_{number}.txt"), format!("pandas==2.2.{}\nrich\n", number % 9).into_bytes()),
            4 => (format!("{subject}_{number}.png"), [&b"\x89PNG\r\n\x1a\n"[..], &binary(filler, 5_000)].concat()),
            _ => (format!("{subject}_{number}.csv"), csv(filler)),
        };
        let owner = filler.somebody();
        let path = format!("{place}/{name}");
        let id = put(filler.world, &path, Object::File(content.into()), &owner);
        filler.files.push((path, id));
    }
}

fn binary(filler: &mut Filler<'_>, most: usize) -> Vec<u8> {
    let length = filler.rng.usize(100..most);
    text::binary(&mut filler.rng, length)
}

/// A small table.
pub fn csv(filler: &mut Filler<'_>) -> Vec<u8> {
    let mut text = String::from("id,region,amount\n");
    for row in 0..filler.rng.usize(5..120) {
        text.push_str(&format!(
            "{row},{},{}\n",
            pick(&mut filler.rng, &["emea", "apac", "amer"]),
            filler.rng.u32(0..100_000)
        ));
    }
    text.into_bytes()
}

fn others(filler: &mut Filler<'_>, places: &[String]) {
    for number in 0..filler.fill.others {
        let place = &places[filler.rng.usize(0..places.len())];
        let (name, object) = match number % 3 {
            0 => (format!("Sales {number}.lvdash.json"), Object::Dashboard),
            1 => (format!("legacy-{number}.jar"), Object::Library),
            _ => (format!("experiment-{number}"), Object::Experiment),
        };
        let owner = filler.somebody();
        put(filler.world, &format!("{place}/{name}"), object, &owner);
    }
}

fn git_folders(filler: &mut Filler<'_>) {
    for number in 0..filler.fill.git_folders {
        let owner = filler.somebody();
        let name = pick(&mut filler.rng, TEAMS);
        let branch = if number % 2 == 0 { "main" } else { "develop" };
        let path = format!("/Repos/{}/{name}-{number}", owner.name);
        let url = format!("https://github.com/contoso-example/{name}-{number}.git");
        let id = crate::repos::add(filler.world, &path, &url, "gitHub", branch, &owner);
        filler.git_folders.push(id);
    }
}
