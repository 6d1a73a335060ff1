//! The file: see docs/borders.md for its layout.

use std::collections::HashMap;

use crate::tree::{Node, Units};
use crate::zones::{NOBODY, Owners};

pub struct Line {
    pub points: Vec<Units>,
    pub left: Owners,
    pub right: Owners,
}

pub fn file(lines: &[Line], tree: &Node) -> Vec<u8> {
    let table = table(lines, tree);
    let number: HashMap<Owners, u64> =
        table.iter().zip(0..).map(|(owners, n)| (*owners, n)).collect();
    let mut bytes = b"DNBORD01".to_vec();
    varint(&mut bytes, table.len() as u64);
    for owners in &table {
        for owner in owners {
            bytes.extend(owner.unwrap_or_default());
        }
    }
    varint(&mut bytes, lines.len() as u64);
    let mut at = [0, 0];
    for line in lines {
        varint(&mut bytes, number[&line.left]);
        varint(&mut bytes, number[&line.right]);
        varint(&mut bytes, line.points.len() as u64);
        for point in &line.points {
            step(&mut bytes, &mut at, *point);
        }
    }
    let lines = bytes.len();
    node(&mut bytes, tree, &number);
    eprintln!("lines {lines} bytes, tree {} bytes", bytes.len() - lines);
    bytes
}

/// All owners that occur, the most frequent first: they get the short numbers.
fn table(lines: &[Line], tree: &Node) -> Vec<Owners> {
    let mut count: HashMap<Owners, usize> = HashMap::from([(NOBODY, 0)]);
    let mut stack = vec![tree];
    while let Some(node) = stack.pop() {
        match node {
            Node::Split(children) => stack.extend(children.iter()),
            Node::Area { owners, .. } => *count.entry(*owners).or_default() += 1,
            Node::Lines { .. } => {}
        }
    }
    for line in lines {
        for owners in [line.left, line.right] {
            *count.entry(owners).or_default() += 1;
        }
    }
    let mut table: Vec<_> = count.into_iter().collect();
    table.sort_unstable_by_key(|&(owners, count)| (std::cmp::Reverse(count), owners));
    table.into_iter().map(|(owners, _)| owners).collect()
}

fn node(bytes: &mut Vec<u8>, tree: &Node, number: &HashMap<Owners, u64>) {
    match tree {
        Node::Split(children) => {
            bytes.push(0);
            children.iter().for_each(|child| node(bytes, child, number));
        }
        Node::Lines { offshore } => bytes.push(1 + u8::from(*offshore)),
        Node::Area { owners, offshore } => {
            varint(bytes, 3 + 2 * number[owners] + u64::from(*offshore));
        }
    }
}

/// From the point before, zigzag: 0, -1, 1, -2, …
pub fn step(bytes: &mut Vec<u8>, at: &mut [i32; 2], to: [i32; 2]) {
    for axis in 0..2 {
        let step = i64::from(to[axis] - at[axis]);
        varint(bytes, ((step << 1) ^ (step >> 63)) as u64);
    }
    *at = to;
}

pub fn text(bytes: &mut Vec<u8>, text: &str) {
    varint(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

pub fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
