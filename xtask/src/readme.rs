//! The dependencies and the first program in a crate's README.

/// A README's fenced code blocks, as far as they concern us.
#[derive(Debug, PartialEq)]
pub(crate) struct Readme {
    /// The first block of Rust that can be run, as a whole program.
    pub(crate) program: Option<String>,
    /// The first block of TOML that lists dependencies.
    pub(crate) dependencies: Option<String>,
}

impl Readme {
    pub(crate) fn parse(text: &str) -> Self {
        let blocks = fenced_blocks(text);
        Self {
            program: blocks.iter().find(|block| block.info == "rust").map(|block| program(&block.text)),
            dependencies: blocks
                .iter()
                .find(|block| block.info == "toml" && block.text.contains("[dependencies]"))
                .map(|block| block.text.clone()),
        }
    }
}

struct Block<'a> {
    /// What stands behind the fence: `rust`, or `rust,no_run`, or `toml`.
    info: &'a str,
    text: String,
}

fn fenced_blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            blocks.push(Block { info: info.trim(), text });
        }
    }
    blocks
}

/// The block as rustdoc would compile it: with its hidden lines, and inside a `main` if it has none.
fn program(block: &str) -> String {
    let shown: String = block
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(if line == "#" { "" } else { line }))
        .flat_map(|line| [line, "\n"])
        .collect();
    if shown.contains("fn main(") { shown } else { format!("fn main() {{\n{shown}}}\n") }
}

#[cfg(test)]
mod tests {
    use super::Readme;

    #[test]
    fn the_first_runnable_program_and_the_dependencies_are_found() {
        let readme = Readme::parse(
            "# a\n\n```rust,no_run\nloop {}\n```\n\n```toml\n[server]\nport = 1\n```\n\n```toml\n[dependencies]\na = \"1\"\n```\n\
             text\n```rust\nfn main() {}\n```\n```rust\nfn main() { panic!() }\n```\n",
        );
        assert_eq!(readme.program.unwrap(), "fn main() {}\n");
        assert_eq!(readme.dependencies.unwrap(), "[dependencies]\na = \"1\"\n");
    }

    #[test]
    fn hidden_lines_belong_to_the_program_and_attributes_stay() {
        let readme =
            Readme::parse("```rust\n# use a::b;\n#\n#[derive(Clone)]\nstruct C;\n# fn main() {\nb();\n# }\n```\n");
        assert_eq!(readme.program.unwrap(), "use a::b;\n\n#[derive(Clone)]\nstruct C;\nfn main() {\nb();\n}\n");
    }

    #[test]
    fn a_program_without_main_gets_one() {
        let readme = Readme::parse("```rust\nassert!(true);\n```\n");
        assert_eq!(readme.program.unwrap(), "fn main() {\nassert!(true);\n}\n");
    }

    #[test]
    fn a_readme_without_code_has_neither() {
        assert_eq!(Readme::parse("# a\n```text\nfn main() {}\n```\n"), Readme { program: None, dependencies: None });
    }
}
