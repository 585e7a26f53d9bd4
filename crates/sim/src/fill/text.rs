//! Text for invented workspaces: names of people and things, and notebooks in four languages.
//!
//! Owns wording only. Where the text goes is the business of the other parts of `fill`.

use fastrand::Rng;

/// Given names of invented people.
pub const GIVEN: &[&str] = &[
    "ada", "amara", "anders", "aiko", "bela", "bruno", "carla", "chen", "dalia", "dmitri", "elena",
    "emeka", "fatima", "felix", "grace", "hana", "hugo", "imani", "ines", "jonas", "julia",
    "karim", "katya", "lars", "leila", "luca", "maja", "mateo", "mira", "nadia", "noor", "olga",
    "omar", "paula", "priya", "ravi", "rosa", "sana", "sven", "tariq", "uma", "vera", "wei",
    "yara", "zoe",
];

/// Family names of invented people.
pub const FAMILY: &[&str] = &[
    "abdi",
    "alvarez",
    "andersson",
    "bauer",
    "becker",
    "bianchi",
    "cohen",
    "costa",
    "diallo",
    "dubois",
    "eriksen",
    "fischer",
    "garcia",
    "haddad",
    "hansen",
    "ito",
    "ivanov",
    "jansen",
    "kaur",
    "kim",
    "kowalski",
    "kumar",
    "larsen",
    "lopez",
    "meyer",
    "moreau",
    "mwangi",
    "nakamura",
    "nguyen",
    "novak",
    "okafor",
    "oliveira",
    "patel",
    "petrov",
    "rahman",
    "rossi",
    "santos",
    "schmidt",
    "silva",
    "tanaka",
    "vargas",
    "weber",
    "wong",
    "yilmaz",
    "zhang",
];

/// Teams, used for groups, folders, pools and tags.
pub const TEAMS: &[&str] = &[
    "analytics",
    "data-platform",
    "finance",
    "forecasting",
    "fraud",
    "growth",
    "logistics",
    "marketing",
    "ml-research",
    "operations",
    "pricing",
    "risk",
    "sales",
    "security",
    "supply-chain",
    "support",
];

/// What a notebook or job works on.
pub const SUBJECTS: &[&str] = &[
    "orders",
    "customers",
    "invoices",
    "shipments",
    "sessions",
    "clickstream",
    "inventory",
    "payments",
    "returns",
    "subscriptions",
    "sensors",
    "tickets",
    "campaigns",
    "suppliers",
    "prices",
    "claims",
];

/// What a notebook or job does.
pub const VERBS: &[&str] = &[
    "ingest",
    "clean",
    "join",
    "aggregate",
    "score",
    "validate",
    "publish",
    "backfill",
    "profile",
    "train",
    "export",
    "reconcile",
    "forecast",
    "dedupe",
    "enrich",
    "monitor",
];

/// Folder names inside projects and homes.
pub const FOLDERS: &[&str] = &[
    "etl",
    "notebooks",
    "lib",
    "tests",
    "archive",
    "exploration",
    "reports",
    "bronze",
    "silver",
    "gold",
    "features",
    "models",
    "utils",
    "scratch",
    "2024",
    "2025",
    "docs",
];

/// The four languages of notebooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `PYTHON`
    Python,
    /// `SQL`
    Sql,
    /// `SCALA`
    Scala,
    /// `R`
    R,
}

impl Language {
    /// The service's name of the language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "PYTHON",
            Self::Sql => "SQL",
            Self::Scala => "SCALA",
            Self::R => "R",
        }
    }

    /// How a comment starts.
    pub fn comment(self) -> &'static str {
        match self {
            Self::Python | Self::R => "#",
            Self::Sql => "--",
            Self::Scala => "//",
        }
    }

    /// A language as teams use them: mostly Python, then SQL, Scala, R.
    pub fn any(rng: &mut Rng) -> Self {
        match rng.u8(0..100) {
            0..58 => Self::Python,
            58..82 => Self::Sql,
            82..93 => Self::Scala,
            _ => Self::R,
        }
    }
}

/// One element of `list`.
pub fn pick<'a>(rng: &mut Rng, list: &[&'a str]) -> &'a str {
    list[rng.usize(0..list.len())]
}

/// The SOURCE form of a notebook with `cells` cells; `title` makes its text different from every other.
pub fn notebook(rng: &mut Rng, language: Language, title: &str, cells: usize) -> String {
    let mark = language.comment();
    let mut text = String::with_capacity(160 + cells * 260);
    text.push_str(&format!("{mark} Databricks notebook source\n"));
    for line in [
        "%md".to_owned(),
        format!("# {title}"),
        String::new(),
        format!("Owned by {}.", pick(rng, TEAMS)),
    ] {
        text.push_str(format!("{mark} MAGIC {line}").trim_end());
        text.push('\n');
    }
    for number in 0..cells {
        text.push_str(&format!("\n{mark} COMMAND ----------\n\n"));
        if rng.u8(0..8) == 0 {
            text.push_str(&format!(
                "{mark} DBTITLE 1,Step {}: {}\n",
                number + 1,
                pick(rng, VERBS)
            ));
        }
        cell(rng, language, &mut text);
    }
    text
}

fn cell(rng: &mut Rng, language: Language, text: &mut String) {
    let mark = language.comment();
    match rng.u8(0..10) {
        0 => {
            let (verb, subject) = (pick(rng, VERBS), pick(rng, SUBJECTS));
            text.push_str(&format!("{mark} MAGIC %md\n{mark} MAGIC ## {verb} {subject}\n{mark} MAGIC Rows older than {} days are left out.\n", rng.u16(1..400)));
        }
        1 if language != Language::Sql => {
            let subject = pick(rng, SUBJECTS);
            text.push_str(&format!("{mark} MAGIC %sql\n{mark} MAGIC select count(*) from silver.{subject} where day >= '2025-{:02}-01'\n", rng.u8(1..13)));
        }
        _ => match language {
            Language::Python => python(rng, text),
            Language::Sql => sql(rng, text),
            Language::Scala => scala(rng, text),
            Language::R => r(rng, text),
        },
    }
}

fn python(rng: &mut Rng, text: &mut String) {
    let (subject, verb, n) = (pick(rng, SUBJECTS), pick(rng, VERBS), rng.u32(1..9999));
    text.push_str(&match rng.u8(0..5) {
        0 => format!("from pyspark.sql import functions as F\n\n{subject} = (\n    spark.read.table(\"bronze.{subject}\")\n    .where(F.col(\"day\") >= F.date_sub(F.current_date(), {n}))\n    .dropDuplicates([\"{subject}_id\"])\n)\n"),
        1 => format!("def {verb}_{subject}(frame, limit={n}):\n    \"\"\"Keeps the newest rows per key.\"\"\"\n    newest = frame.groupBy(\"{subject}_id\").agg(F.max(\"updated_at\").alias(\"updated_at\"))\n    return frame.join(newest, [\"{subject}_id\", \"updated_at\"]).limit(limit)\n"),
        2 => format!("password = dbutils.secrets.get(scope=\"{subject}\", key=\"jdbc-password\")\nreader = spark.read.format(\"jdbc\").option(\"dbtable\", \"{subject}\").option(\"fetchsize\", {n})\n"),
        3 => format!("({subject}\n    .write.format(\"delta\")\n    .mode(\"overwrite\")\n    .option(\"replaceWhere\", \"batch = {n}\")\n    .saveAsTable(\"silver.{subject}\"))\n"),
        _ => format!("display({subject}.groupBy(\"region\").count().orderBy(\"count\", ascending=False).limit({n}))\n"),
    });
}

fn sql(rng: &mut Rng, text: &mut String) {
    let (subject, other, n) = (pick(rng, SUBJECTS), pick(rng, SUBJECTS), rng.u32(1..9999));
    text.push_str(&match rng.u8(0..3) {
        0 => format!("create or replace table gold.{subject}_daily as\nselect region, day, count(*) as rows, sum(amount) as amount\nfrom silver.{subject}\nwhere batch > {n}\ngroup by region, day\n"),
        1 => format!("merge into silver.{subject} as target\nusing bronze.{other} as source\n  on target.id = source.id\nwhen matched and source.version > {n} then update set *\nwhen not matched then insert *\n"),
        _ => format!("select * from gold.{subject}_daily where rows > {n} order by day desc limit 100\n"),
    });
}

fn scala(rng: &mut Rng, text: &mut String) {
    let (subject, n) = (pick(rng, SUBJECTS), rng.u32(1..9999));
    text.push_str(&match rng.u8(0..3) {
        0 => format!("import org.apache.spark.sql.functions._\n\nval {subject} = spark.table(\"bronze.{subject}\").where(col(\"batch\") > {n})\n"),
        1 => format!("case class {subject}Row(id: Long, region: String, amount: BigDecimal)\n\nval typed = {subject}.as[{subject}Row].filter(_.amount > {n})\n"),
        _ => format!("{subject}.write.format(\"delta\").mode(\"append\").option(\"maxRecordsPerFile\", {n}).saveAsTable(\"silver.{subject}\")\n"),
    });
}

fn r(rng: &mut Rng, text: &mut String) {
    let (subject, n) = (pick(rng, SUBJECTS), rng.u32(1..9999));
    text.push_str(&match rng.u8(0..2) {
        0 => format!("library(SparkR)\n{subject} <- sql(\"select * from silver.{subject} limit {n}\")\nhead(summarize(groupBy({subject}, {subject}$region), total = sum({subject}$amount)))\n"),
        _ => format!("model <- glm(amount ~ region + day, data = as.data.frame({subject}), family = \"gaussian\")\nsummary(model, digits = {})\n", n % 9 + 1),
    });
}

/// `length` bytes that no text tool takes for text.
pub fn binary(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notebook_has_header_cells_and_its_own_text() {
        let mut rng = Rng::with_seed(7);
        for language in [
            Language::Python,
            Language::Sql,
            Language::Scala,
            Language::R,
        ] {
            let text = notebook(&mut rng, language, "Orders 12", 6);
            let mark = language.comment();
            assert_eq!(
                text.lines().next(),
                Some(format!("{mark} Databricks notebook source").as_str())
            );
            assert_eq!(
                text.matches(&format!("\n{mark} COMMAND ----------\n"))
                    .count(),
                6
            );
            assert!(text.contains("Orders 12"));
            assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
        }
    }

    #[test]
    fn the_seed_decides_the_text() {
        let make = |seed| notebook(&mut Rng::with_seed(seed), Language::Python, "t", 9);
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}
