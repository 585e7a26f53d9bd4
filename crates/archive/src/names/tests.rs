use super::*;

fn sibling<'a>(name: &'a str, extension: &'a str, id: &'a str) -> Sibling<'a> {
    Sibling {
        name,
        extension,
        id,
    }
}

#[test]
fn an_ordinary_name_stays() {
    for name in ["etl", "Ümläut 日本", "a.b", "(1) [x] {y} 'z' & co", "a-b_c"] {
        assert_eq!(component(name, "7"), name);
    }
}

#[test]
fn an_awkward_name_is_replaced() {
    for (name, expected) in [
        ("a:b", "ab~7"),
        ("a/b", "ab~7"),
        (" a", "a~7"),
        ("a.", "a~7"),
        (".gitignore", "gitignore~7"),
        ("...", "~7"),
        ("", "~7"),
        ("con", "con~7"),
        ("Aux.txt", "~7"),
        ("lpt¹", "lpt¹~7"),
        ("a~7", "a7~7"),
        ("a\u{a0}b", "ab~7"),
        ("a\u{200b}b\u{2028}c\u{7f}", "abc~7"),
        ("e\u{301}", "é~7"),
    ] {
        let made = component(name, "7");
        assert_eq!(made, expected, "{name:?}");
        assert_eq!(check(&made), Ok(()), "{made:?}");
    }
}

#[test]
fn a_long_name_is_cut_at_a_character() {
    let name = "é".repeat(101);
    let made = component(&name, "7");
    assert_eq!(made, format!("{}~7", "é".repeat(50)));
    assert_eq!(component(&"x".repeat(200), "7"), "x".repeat(200));
}

#[test]
fn siblings_that_fold_to_the_same_are_all_replaced() {
    let names = assign(&[
        sibling("ETL", ".py", "1"),
        sibling("etl", ".py", "2"),
        sibling("etl", ".sql", "3"),
        sibling("Straße", "", "4"),
        sibling("STRASSE", "", "5"),
        sibling("x.py", "", "6"),
        sibling("X", ".py", "7"),
    ]);
    assert_eq!(
        names,
        [
            "ETL~1.py",
            "etl~2.py",
            "etl.sql",
            "Straße~4",
            "STRASSE~5",
            "x.py~6",
            "X~7.py"
        ]
    );
}

#[test]
fn ids_that_are_no_file_names_are_hashed() {
    let made = component("a:b", "weird/id");
    assert!(made.starts_with("ab~x") && made.len() == 28, "{made:?}");
    let names = assign(&[sibling("?", "", "ab"), sibling("*", "", "AB")]);
    assert_ne!(fold(&names[0]), fold(&names[1]));
}

#[test]
fn paths_that_cannot_be_written() {
    use NameError::*;
    let component = |c: &str| Component {
        component: c.to_owned(),
    };
    for (path, expected) in [
        ("", Empty),
        ("/data/x", Absolute),
        ("data//x", component("")),
        ("data/./x", component(".")),
        ("data/../x", component("..")),
        ("data/x/", component("")),
        ("data/a\\b", Character { character: '\\' }),
        ("C:/x", Character { character: ':' }),
        ("data/a\nb", Character { character: '\n' }),
        ("data/a%b", Character { character: '%' }),
        (
            "data/nul.txt",
            Reserved {
                component: "nul.txt".to_owned(),
            },
        ),
        (
            "data/a ",
            Edge {
                component: "a ".to_owned(),
            },
        ),
        (
            "data/e\u{301}",
            NotNormalized {
                component: "e\u{301}".to_owned(),
            },
        ),
    ] {
        assert_eq!(check(path), Err(expected), "{path:?}");
    }
    assert!(matches!(
        check(&"x".repeat(201)),
        Err(TooLong {
            bytes: 201,
            limit: 200
        })
    ));
}

#[test]
fn readers_accept_names_that_later_unicode_tables_may_allow() {
    assert!(check("data/a\u{200b}b").is_err());
    assert_eq!(check_safe("data/a\u{200b}b"), Ok(()));
    assert!(check_safe("data/../x").is_err());
}
