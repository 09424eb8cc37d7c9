//! Whole trees, compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every path with its content; folders have none.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

pub fn tree(root: &Path) -> Tree {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                found.insert(name, None);
                open.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                assert_eq!(entry.metadata().unwrap().len(), content.len() as u64, "{name}");
                found.insert(name, Some(content));
            }
        }
    }
    found
}

/// Names the first difference, without contents.
pub fn difference(a: &Tree, b: &Tree) -> Option<String> {
    if !a.keys().eq(b.keys()) {
        return Some(format!("other names: {:?} and {:?}", a.keys(), b.keys()));
    }
    a.iter().zip(b.values()).find(|((_, x), y)| x != y).map(|((name, x), y)| {
        let len = |of: &Option<Vec<u8>>| of.as_ref().map(Vec::len);
        format!("{name}: other content, {:?} and {:?} bytes", len(x), len(y))
    })
}
