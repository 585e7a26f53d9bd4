//! What is written is read back: the main path of the format.

use lifeboat_archive::*;

fn header() -> Header {
    Header::new(
        "lifeboat-test 0.9".to_owned(),
        Source {
            host: "adb-1.0.azuredatabricks.net".to_owned(),
            workspace_id: "1".to_owned(),
            cloud: "azure".to_owned(),
        },
        "2026-11-22T01:00:00Z".parse().unwrap(),
        Scope::Workspace,
        serde_json::json!({}),
    )
}

fn summary() -> Summary {
    Summary {
        scope: Scope::Workspace,
        inventory: Inventory::Complete,
        kinds: Default::default(),
    }
}

fn options(threads: usize) -> WriterOptions {
    WriterOptions {
        bag: "bag".to_owned(),
        level: 3,
        threads,
        spill_dir: None,
    }
}

#[test]
fn small() {
    let mut writer = Writer::create(Vec::new(), options(2), &header()).unwrap();
    writer
        .add("data/b", Content::Bytes(b"two".to_vec()))
        .unwrap();
    writer
        .add("data/a/x", Content::Bytes(b"one".to_vec()))
        .unwrap();
    let mut table = TableWriter::new("data/users");
    table.push(&mut writer, r#"{"id":"1"}"#).unwrap();
    table.push(&mut writer, r#"{"id":"2"}"#).unwrap();
    table.finish(&mut writer).unwrap();
    writer
        .add_tag("run.json", Content::Bytes(b"{}".to_vec()))
        .unwrap();
    let (bytes, sealed) = writer
        .finish(&summary(), "2026-11-22T01:10:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(sealed.size, bytes.len() as u64);
    let archive = Archive::from_source(Box::new(bytes)).unwrap();
    assert_eq!(archive.archive_id().unwrap(), sealed.archive_id);
    assert_eq!(archive.content_id().unwrap(), sealed.content_id);
    assert_eq!(archive.header().unwrap(), header());
    assert_eq!(archive.summary().unwrap(), summary());
    let member = archive.find("data/a/x").unwrap().unwrap();
    assert_eq!(archive.read(&member).unwrap(), b"one");
    let lines: Vec<String> = archive
        .lines("data/users")
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines, [r#"{"id":"1"}"#, r#"{"id":"2"}"#]);
    let report = archive.verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.damage, []);
    assert_eq!(report.members, sealed.members);
    assert_eq!(report.intact, sealed.members);
}
