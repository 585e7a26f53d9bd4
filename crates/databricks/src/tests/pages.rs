//! Every paging style.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::mock::{Mock, Seen, TOKEN, ok, reply};
use crate::{Error, Listing, Paging, Problem};

async fn list(mock: &Mock, array: &str, paging: Paging) -> Result<Vec<String>, Error> {
    let query = vec![("expand_tasks", "false".to_owned())];
    let listing = Listing {
        path: "/api/2.0/things/list",
        query,
        array,
        paging,
    };
    let elements = mock.client().list(&listing).await?;
    Ok(elements
        .iter()
        .map(|element| element.get().to_owned())
        .collect())
}

fn targets(mock: &Mock) -> Vec<String> {
    mock.done()
        .into_iter()
        .map(|seen| {
            seen.target
                .split_once("?expand_tasks=false")
                .unwrap()
                .1
                .to_owned()
        })
        .collect()
}

const TOKENS: Paging = Paging::PageToken {
    size: Some(("limit", 100)),
};
const SCIM: Paging = Paging::Scim { count: 2 };

#[tokio::test]
async fn elements_are_the_service_s_own_text() {
    let mock = Mock::new([ok(
        r#"{"x":[1.50, {"b" : 1,"a":12345678901234567890}],"other":{}}"#,
    )])
    .await;
    let elements = list(&mock, "x", Paging::None).await.unwrap();
    assert_eq!(elements, ["1.50", r#"{"b" : 1,"a":12345678901234567890}"#]);
    assert_eq!(targets(&mock), [""]);
}

#[tokio::test]
async fn missing_and_null_arrays_are_empty_and_other_values_are_errors() {
    let mock = Mock::new([
        ok("{}"),
        ok(r#"{"objects":null}"#),
        ok(r#"{"objects":{}}"#),
        ok("[]"),
        ok(""),
    ])
    .await;
    for _ in 0..2 {
        assert!(
            list(&mock, "objects", Paging::None)
                .await
                .unwrap()
                .is_empty()
        );
    }
    for _ in 0..3 {
        let error = list(&mock, "objects", Paging::None).await.unwrap_err();
        assert!(
            matches!(error.problem(), Problem::Unexpected { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_bare_array_is_a_list_too() {
    let mock = Mock::new([ok("[1,2]"), ok("{}")]).await;
    assert_eq!(list(&mock, "", Paging::None).await.unwrap(), ["1", "2"]);
    assert!(list(&mock, "", Paging::None).await.is_err());
}

#[tokio::test]
async fn a_refused_list_is_an_error() {
    let mock = Mock::new([reply(
        403,
        r#"{"error_code":"PERMISSION_DENIED","message":"x"}"#,
    )])
    .await;
    assert!(list(&mock, "x", TOKENS).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn tokens_are_followed_over_empty_pages_until_an_empty_token() {
    let mock = Mock::new([
        ok(r#"{"x":[1],"next_page_token":"a b"}"#),
        ok(r#"{"next_page_token":"c"}"#),
        ok(r#"{"x":[2,3],"next_page_token":""}"#),
    ])
    .await;
    assert_eq!(list(&mock, "x", TOKENS).await.unwrap(), ["1", "2", "3"]);
    assert_eq!(
        targets(&mock),
        [
            "&limit=100",
            "&limit=100&page_token=a+b",
            "&limit=100&page_token=c"
        ]
    );
}

#[tokio::test]
async fn git_folders_send_the_token_under_the_name_of_the_reply() {
    let mock = Mock::new([
        ok(r#"{"x":[1],"next_page_token":"t"}"#),
        ok(r#"{"x":[2],"next_page_token":null}"#),
    ])
    .await;
    assert_eq!(
        list(&mock, "x", Paging::NextPageToken).await.unwrap(),
        ["1", "2"]
    );
    assert_eq!(targets(&mock), ["", "&next_page_token=t"]);
}

#[tokio::test]
async fn a_token_that_comes_again_is_an_error() {
    let mock = Mock::with(|seen| match seen.query("page_token") {
        None | Some("b") => ok(r#"{"x":[1],"next_page_token":"a"}"#),
        _ => ok(r#"{"x":[1],"next_page_token":"b"}"#),
    })
    .await;
    let error = list(&mock, "x", Paging::PageToken { size: None })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("page token"), "{error}");
    assert_eq!(mock.done().len(), 3);
}

/// A SCIM page of `ids`, as the service pages them.
fn scim(seen: &Seen, ids: &[&str], total: usize) -> super::mock::Reply {
    let start: usize = seen.query("startIndex").unwrap().parse().unwrap();
    let count: usize = seen.query("count").unwrap().parse().unwrap();
    let page: Vec<_> = ids
        .iter()
        .skip(start - 1)
        .take(count)
        .map(|id| json!({"id": id, "n": 1}))
        .collect();
    let mut body = json!({"totalResults": total, "startIndex": start, "itemsPerPage": page.len()});
    if !page.is_empty() {
        body["Resources"] = page.into();
    }
    ok(&body.to_string())
}

#[tokio::test]
async fn scim_reads_until_an_empty_page_and_twice() {
    let mock = Mock::with(|seen| scim(seen, &["3", "1", "2"], 3)).await;
    let elements = list(&mock, "Resources", SCIM).await.unwrap();
    assert_eq!(
        elements,
        [
            r#"{"id":"3","n":1}"#,
            r#"{"id":"1","n":1}"#,
            r#"{"id":"2","n":1}"#
        ]
    );
    let read = [
        "&startIndex=1&count=2",
        "&startIndex=3&count=2",
        "&startIndex=4&count=2",
    ];
    assert_eq!(targets(&mock), [read, read].concat());
}

#[tokio::test]
async fn scim_may_be_empty() {
    let mock = Mock::new([ok("{}"), ok(r#"{"totalResults":0}"#)]).await;
    assert!(list(&mock, "Resources", SCIM).await.unwrap().is_empty());
    mock.done();
}

/// Reads with these ids, one read after the other; the last one stays.
async fn scim_reads(
    reads: &'static [(&'static [&'static str], usize)],
) -> (Result<Vec<String>, Error>, usize) {
    let made = AtomicUsize::new(0);
    let mock = Mock::with(move |seen| {
        if seen.query("startIndex") == Some("1") {
            made.fetch_add(1, Ordering::SeqCst);
        }
        let (ids, total) = reads[(made.load(Ordering::SeqCst) - 1).min(reads.len() - 1)];
        scim(seen, ids, total)
    })
    .await;
    let outcome = list(&mock, "Resources", SCIM).await;
    let reads = mock
        .done()
        .iter()
        .filter(|seen| seen.query("startIndex") == Some("1"))
        .count();
    (outcome, reads)
}

#[tokio::test]
async fn scim_repeats_until_two_reads_agree() {
    let (outcome, reads) =
        scim_reads(&[(&["1", "2"], 2), (&["1", "3"], 2), (&["3", "1"], 2)]).await;
    assert_eq!((outcome.unwrap().len(), reads), (2, 3));
    // The total is one ahead of the list at first.
    let (outcome, reads) = scim_reads(&[(&["1"], 2), (&["1"], 2), (&["1", "2"], 2)]).await;
    assert_eq!((outcome.unwrap().len(), reads), (2, 4));
    // One entry moved to another page and was seen twice.
    let (outcome, reads) = scim_reads(&[(&["1", "2", "2"], 3), (&["1", "2", "3"], 3)]).await;
    assert_eq!((outcome.unwrap().len(), reads), (3, 3));
}

#[tokio::test]
async fn scim_that_does_not_settle_is_an_error() {
    let (outcome, reads) = scim_reads(&[(&["1", "2", "3"], 4)]).await;
    let error = outcome.unwrap_err();
    assert!(error.is_unstable() && reads == 5, "{error}");
    assert!(matches!(
        error.problem(),
        Problem::Unstable {
            reads: 5,
            total: 4,
            distinct: 3
        }
    ));
}

#[tokio::test]
async fn scim_that_ignores_the_start_index_ends() {
    let body = r#"{"totalResults":2,"Resources":[{"id":"1"},{"id":"2"}]}"#;
    let mock = Mock::with(move |_| ok(body)).await;
    assert!(
        list(&mock, "Resources", SCIM)
            .await
            .unwrap_err()
            .is_unstable()
    );
    assert_eq!(mock.done().len(), 10);
}

#[tokio::test]
async fn scim_elements_need_an_id() {
    let mock = Mock::new([ok(r#"{"totalResults":1,"Resources":[{"x":1}]}"#)]).await;
    assert!(list(&mock, "Resources", SCIM).await.is_err());
}

const ARRAYS: &[&str] = &[
    "settings.tasks",
    "settings.job_clusters",
    "settings.parameters",
];

#[tokio::test]
async fn arrays_of_one_object_are_merged() {
    let mock = Mock::new([
        ok(r#"{"job_id":7,"settings":{"name":"n","tasks":[1,2],"job_clusters":[9]},"has_more":true,"next_page_token":"a"}"#),
        ok(r#"{"job_id":7,"settings":{"name":"n","tasks":[3]},"has_more":true,"next_page_token":"b","prev_page_token":"x"}"#),
        ok(r#"{"job_id":7,"settings":{"name":"n","tasks":[4],"parameters":[5]},"has_more":false}"#),
    ])
    .await;
    let job = mock
        .client()
        .get_merged("/api/2.2/jobs/get", &[("job_id", "7")], ARRAYS)
        .await
        .unwrap();
    let whole = r#"{"job_id":7,"settings":{"name":"n","tasks":[1,2,3,4],"job_clusters":[9],"parameters":[5]}}"#;
    assert_eq!(job.to_string(), whole);
    let queries: Vec<String> = mock.done().into_iter().map(|seen| seen.target).collect();
    assert_eq!(queries[2], "/api/2.2/jobs/get?job_id=7&page_token=b");
}

#[tokio::test]
async fn an_object_that_is_cut_off_is_an_error() {
    let more = ok(r#"{"settings":{"tasks":[1]},"has_more":true}"#);
    let again = ok(r#"{"settings":{"tasks":[1]},"next_page_token":"a"}"#);
    let odd = ok(r#"{"settings":{"tasks":{"x":1}}}"#);
    for replies in [
        vec![more],
        vec![again.clone(), again.clone()],
        vec![again, odd],
        vec![ok("[]")],
    ] {
        let mock = Mock::new(replies).await;
        assert!(
            mock.client()
                .get_merged("/api/2.2/jobs/get", &[], ARRAYS)
                .await
                .is_err()
        );
        mock.done();
    }
}

#[tokio::test]
async fn a_token_is_followed_where_none_was_expected() {
    let mock = Mock::new([
        ok(r#"{"x":[1],"next_page_token":"t"}"#),
        ok(r#"{"x":[2],"next_page_token":7}"#),
        ok(r#"{"x":[3],"has_more":false}"#),
    ])
    .await;
    assert_eq!(
        list(&mock, "x", Paging::None).await.unwrap(),
        ["1", "2", "3"]
    );
    assert_eq!(targets(&mock), ["", "&page_token=t", "&page_token=7"]);
}

#[tokio::test]
async fn a_listing_that_promises_more_without_saying_where_is_an_error() {
    for paging in [Paging::None, TOKENS, Paging::NextPageToken] {
        for more in [
            r#"{"x":[1],"has_more":true}"#,
            r#"{"x":[1],"has_more":"true","next_page_token":""}"#,
            r#"{"x":[1],"has_more":1}"#,
            r#"{"x":[1],"next_page_token":{"a":1}}"#,
        ] {
            let mock = Mock::new([ok(more)]).await;
            let error = list(&mock, "x", paging).await.unwrap_err();
            assert!(
                matches!(error.problem(), Problem::Unexpected { .. }),
                "{more}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn an_error_with_status_200_is_not_an_empty_list() {
    let message = format!(r#"{{"error_code":"PERMISSION_DENIED","message":"not {TOKEN}"}}"#);
    let scim = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"detail":"no"}"#;
    for body in [message.as_str(), r#"{"error_code":403,"x":null}"#, scim] {
        for paging in [Paging::None, TOKENS, SCIM] {
            let mock = Mock::new([ok(body)]).await;
            let error = list(&mock, "x", paging).await.unwrap_err();
            assert!(
                matches!(error.problem(), Problem::Unexpected { .. }),
                "{body}: {error}"
            );
            assert!(!error.to_string().contains(TOKEN), "{error}");
        }
        let mock = Mock::new([ok(body)]).await;
        let error = mock
            .client()
            .get_merged("/api/2.2/jobs/get", &[], ARRAYS)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("error with status 200"),
            "{error}"
        );
    }
    let with = r#"{"x":[1],"error_code":"","message":"fine"}"#;
    let mock = Mock::new([ok(with)]).await;
    assert_eq!(list(&mock, "x", TOKENS).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn numbers_are_tokens_of_objects_too() {
    let mock = Mock::new([
        ok(r#"{"settings":{"tasks":[1]},"next_page_token":100}"#),
        ok(r#"{"settings":{"tasks":[2]}}"#),
    ])
    .await;
    let whole = mock
        .client()
        .get_merged("/api/2.2/jobs/get", &[], ARRAYS)
        .await
        .unwrap();
    assert_eq!(whole, json!({"settings": {"tasks": [1, 2]}}));
    assert_eq!(mock.done()[1].query("page_token"), Some("100"));
}

/// A job of two pages: names of the settings, keys of the tasks.
fn job(names: [&str; 2], tasks: [&[&str]; 2]) -> [super::mock::Reply; 2] {
    let page = |at: usize| {
        let tasks: Vec<_> = tasks[at]
            .iter()
            .map(|key| json!({"task_key": key}))
            .collect();
        json!({"job_id": 7, "settings": {"name": names[at], "tasks": tasks}})
    };
    let mut first = page(0);
    first["next_page_token"] = "a".into();
    [ok(&first.to_string()), ok(&page(1).to_string())]
}

#[tokio::test]
async fn an_object_that_is_edited_between_its_pages_is_read_again_and_then_an_error() {
    let good = || job(["n", "n"], [&["a", "b"], &["c"]]);
    for edited in [
        job(["n", "n"], [&["a", "b"], &["b", "c"]]),
        job(["n", "m"], [&["a", "b"], &["c"]]),
    ] {
        let settles = Mock::new(edited.clone().into_iter().chain(good())).await;
        let whole = settles
            .client()
            .get_merged("/api/2.2/jobs/get", &[], ARRAYS)
            .await
            .unwrap();
        assert_eq!(whole["settings"]["tasks"].as_array().unwrap().len(), 3);
        settles.done();
        let stays = Mock::new(edited.clone().into_iter().chain(edited)).await;
        let error = stays
            .client()
            .get_merged("/api/2.2/jobs/get", &[], ARRAYS)
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("pages of one state of the object"),
            "{error}"
        );
        stays.done();
    }
}
