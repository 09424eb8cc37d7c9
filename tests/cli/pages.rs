//! Manual pages, completions, help and README say what the program does.

use std::collections::BTreeSet;
use std::fs;

use crate::world::{World, tool};

/// Every command, by the program's own word.
fn commands(world: &World) -> BTreeSet<String> {
    let help = world.run(["--help"]).expect(0).out;
    let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = list.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    names.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_help_a_manual_page_and_a_row_in_the_readme() {
    let world = World::new();
    let man = world.path("man");
    world.run(["man", man.to_str().unwrap()]).expect(0);
    let main = fs::read_to_string(man.join("inxtfs.1")).unwrap();
    assert!(main.contains("SUBCOMMANDS") && main.contains("Exit codes"), "{main}");
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let all = commands(&world);
    assert!(all.len() > 25 && all.contains("backup-key"), "{all:?}");
    for name in all {
        let page = man.join(format!("inxtfs-{name}.1"));
        assert!(page.exists(), "{page:?}");
        assert!(world.run([name.as_str(), "--help"]).expect(0).out.contains("Usage:"), "{name}");
        assert!(
            readme.contains(&format!("| `{name}")) || readme.contains(&format!(", `{name}")),
            "README lacks {name}"
        );
    }
}

#[test]
fn completions_know_the_commands_in_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(["completions", shell]).expect(0).out;
        assert!(script.contains("backup-key") && script.contains("unpin"), "{shell}");
    }
    let script = world.path("complete.bash");
    fs::write(&script, world.run(["completions", "bash"]).expect(0).out).unwrap();
    let ask = format!(
        ". {}; COMP_WORDS=(inxtfs unp); COMP_CWORD=1; _inxtfs inxtfs unp inxtfs; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    assert_eq!(tool("bash", &["-c".as_ref(), ask.as_ref()]).trim(), "unpin");
    world.run(["completions", "tcsh"]).expect(2);
}

/// The lines of the README's shell blocks that call the program.
fn examples() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).map(|l| l.split(" # ").next().unwrap().trim().to_owned());
    lines
        .flat_map(|l| l.split(" && ").map(str::to_owned).collect::<Vec<_>>())
        .filter(|l| l.starts_with("inxtfs "))
        .collect()
}

/// Each of them is a command line that the program takes: with `--help` behind it, it explains itself instead of
/// complaining.
#[test]
fn the_examples_of_the_readme_are_command_lines_that_exist() {
    let world = World::new();
    let all = examples();
    assert!(all.len() > 8, "{all:?}");
    for line in all {
        let mut args: Vec<&str> = line.split_whitespace().skip(1).collect();
        args.push("--help");
        let ran = world.run(&args).expect(0);
        assert!(ran.out.contains("Usage:"), "{line}");
        let flags = args.iter().filter(|a| a.starts_with("--") && **a != "--help");
        for flag in flags {
            let flag = flag.split('=').next().unwrap();
            assert!(ran.out.contains(flag), "{line}: no {flag}");
        }
    }
}
