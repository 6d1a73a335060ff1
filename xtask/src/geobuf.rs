//! Reads the polygons of a geobuf feature collection (protobuf, coordinates in millionths of a
//! degree, each ring without its closing point).

use anyhow::{Context, Result, bail, ensure};

/// Longitude and latitude in millionths of a degree.
pub type Point = [i32; 2];
pub type Ring = Vec<Point>;

pub struct Feature {
    pub name: String,
    /// All rings, outer and inner alike: a point is inside when it is inside an odd number.
    pub rings: Vec<Ring>,
}

const POLYGON: u64 = 4;
const MULTI_POLYGON: u64 = 5;
const COLLECTION: u64 = 6;

pub fn features(bytes: &[u8]) -> Result<Vec<Feature>> {
    let mut features = Vec::new();
    for field in Fields(bytes) {
        match field? {
            (3, Value::Number(precision)) => ensure!(precision == 6, "precision is {precision}"),
            (4, Value::Bytes(collection)) => {
                for field in Fields(collection) {
                    if let (1, Value::Bytes(bytes)) = field? {
                        features.push(feature(bytes)?);
                    }
                }
            }
            (5 | 6, _) => bail!("expected a feature collection"),
            _ => {}
        }
    }
    Ok(features)
}

fn feature(bytes: &[u8]) -> Result<Feature> {
    let mut feature = Feature { name: String::new(), rings: Vec::new() };
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(bytes)) => geometry(bytes, &mut feature.rings)?,
            (13, Value::Bytes(value)) => {
                for field in Fields(value) {
                    if let (1, Value::Bytes(name)) = field? {
                        feature.name = String::from_utf8(name.to_vec())?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(feature)
}

fn geometry(bytes: &[u8], rings: &mut Vec<Ring>) -> Result<()> {
    let (mut kind, mut lengths, mut coordinates) = (0, Vec::new(), Vec::new());
    for field in Fields(bytes) {
        match field? {
            (1, Value::Number(number)) => kind = number,
            (2, Value::Bytes(packed)) => lengths = numbers(packed)?,
            (3, Value::Bytes(packed)) => coordinates = numbers(packed)?,
            (4, Value::Bytes(part)) => geometry(part, rings)?,
            _ => {}
        }
    }
    let points = coordinates.len() / 2;
    let ring_lengths = match kind {
        POLYGON | MULTI_POLYGON if lengths.is_empty() => vec![points],
        POLYGON => lengths.iter().map(|&length| length as usize).collect(),
        MULTI_POLYGON => rings_of_multi_polygon(&lengths)?,
        COLLECTION => return Ok(()),
        // Where a zone only touches its tile, the clipped geometry is a line or a point.
        _ => return Ok(()),
    };
    ensure!(ring_lengths.iter().sum::<usize>() == points, "ring lengths do not add up");
    let mut pairs = coordinates.chunks_exact(2);
    for length in ring_lengths {
        let mut at = [0i64; 2];
        rings.push(
            pairs
                .by_ref()
                .take(length)
                .map(|pair| {
                    at = [at[0] + zigzag(pair[0]), at[1] + zigzag(pair[1])];
                    [at[0] as i32, at[1] as i32]
                })
                .collect(),
        );
    }
    Ok(())
}

/// `[polygons, rings of the first, its ring lengths …, rings of the second, …]`
fn rings_of_multi_polygon(lengths: &[u64]) -> Result<Vec<usize>> {
    let mut lengths = lengths.iter().map(|&length| length as usize);
    let mut next = || lengths.next().context("ring lengths end early");
    let mut rings = Vec::new();
    for _ in 0..next()? {
        for _ in 0..next()? {
            rings.push(next()?);
        }
    }
    Ok(rings)
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn numbers(mut bytes: &[u8]) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        numbers.push(varint(&mut bytes)?);
    }
    Ok(numbers)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().context("the data ends inside a number")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    bail!("a number longer than 64 bits")
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of one protobuf message: number and value.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.field())
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let tag = varint(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            2 => {
                let length = varint(&mut self.0)? as usize;
                let (bytes, rest) = self.0.split_at_checked(length).context("a field is cut")?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            kind => bail!("wire type {kind} is not expected here"),
        };
        Ok((tag >> 3, value))
    }
}
