//! spec/cli.md: the help texts of all commands, put together by the program itself.

use clap::CommandFactory;

/// The whole document.
pub fn document() -> String {
    let mut text = String::from(HEAD);
    for command in [
        crate::export::Cli::command(),
        crate::import::Cli::command(),
        crate::inspect::Cli::command(),
        crate::demo::Cli::command(),
    ] {
        section(
            &mut text,
            command.clone().term_width(crate::args::HELP_WIDTH),
            "",
        );
    }
    text
}

fn section(text: &mut String, mut command: clap::Command, parent: &str) {
    let name = format!(
        "{parent}{}{}",
        if parent.is_empty() { "" } else { " " },
        command.get_name()
    );
    command = command
        .bin_name(name.clone())
        .term_width(crate::args::HELP_WIDTH);
    text.push_str(&format!(
        "\n{} {name}\n\n```text\n",
        if parent.is_empty() { "##" } else { "###" }
    ));
    for line in command.render_long_help().to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("```\n");
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        section(text, sub.clone(), &name);
    }
}

/// What no help text says.
const HEAD: &str = include_str!("reference.md");

#[cfg(test)]
mod tests {
    /// `LIFEBOAT_BLESS=1` writes the page instead of comparing it.
    #[test]
    fn the_page_of_the_spec_is_what_the_commands_print() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/cli.md");
        let document = super::document();
        if std::env::var_os("LIFEBOAT_BLESS").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            page, document,
            "spec/cli.md is not what the commands print: run this test with LIFEBOAT_BLESS=1"
        );
    }

    #[test]
    fn every_command_has_an_example() {
        let document = super::document();
        let commands = document
            .lines()
            .filter(|line| line.starts_with("### "))
            .count();
        let examples = document
            .lines()
            .filter(|line| *line == "Example:" || *line == "Examples:")
            .count();
        assert_eq!(
            examples,
            commands + 1,
            "each command and lifeboat-demo have an example"
        );
    }
}
