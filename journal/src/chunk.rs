//! Sealed readings: one device's stretch of history in columns.
//!
//! Layout: the number of readings, then a column each for time, sequence number, position,
//! accuracy and every measure that occurs. Whole numbers are stored as differences of differences
//! (times and positions move steadily) or of neighbours, zigzag and in base 128; decimals are
//! scaled to whole numbers where that is exact, and kept as bits where it is not. A column that
//! never changes is one value. The last four bytes are a CRC-32 of the rest.

use ingest::{Fix, Measure, Reading, Value};

/// A chunk whose bytes are not those that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed stretch of history is damaged: restore the journal from a backup")]
pub(crate) struct Damaged;

/// Most readings in a chunk: bounds what late data makes us read and write again.
pub(crate) const MOST: usize = 256;

/// Seals readings that are in history order.
pub(crate) fn seal(readings: &[Reading]) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(readings.len() * 16 + 32));
    out.whole(readings.len() as u64);
    out.integers(readings.iter().map(|reading| reading.time_ms), true);
    out.sparse(
        readings,
        |reading| reading.seq.map(|seq| seq as i64),
        |out, seqs| {
            out.integers(seqs.iter().copied(), true);
        },
    );
    out.sparse(
        readings,
        |reading| reading.fix,
        |out, fixes| {
            out.integers(fixes.iter().map(|fix| i64::from(fix.lat_e7)), true);
            out.integers(fixes.iter().map(|fix| i64::from(fix.lon_e7)), true);
        },
    );
    out.sparse(
        readings,
        |reading| reading.fix.and_then(|fix| fix.accuracy_m),
        |out, metres| out.decimals(&metres.iter().map(|m| as_written(*m)).collect::<Vec<_>>()),
    );
    let used: Vec<Measure> = Measure::ALL
        .iter()
        .copied()
        .filter(|measure| readings.iter().any(|reading| reading.measure(*measure).is_some()))
        .collect();
    out.whole(used.len() as u64);
    for measure in used {
        out.0.push(number(measure));
        out.sparse(readings, |reading| reading.measure(measure), Out::values);
    }
    let checksum = crc32fast::hash(&out.0);
    out.0.extend_from_slice(&checksum.to_le_bytes());
    out.0
}

/// The readings of a chunk, in history order.
pub(crate) fn open(bytes: &[u8]) -> Result<Vec<Reading>, Damaged> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(Damaged)?;
    if crc32fast::hash(body).to_le_bytes() != *checksum {
        return Err(Damaged);
    }
    let mut input = In(body);
    let count = usize::try_from(input.whole()?).map_err(|_| Damaged)?;
    let mut readings: Vec<Reading> = input
        .integers(count)?
        .into_iter()
        .map(|time_ms| Reading { time_ms, seq: None, fix: None, measures: Vec::new() })
        .collect();
    let (at, seqs) = input.sparse(count, In::integers)?;
    for (at, seq) in at.into_iter().zip(seqs) {
        readings[at].seq = Some(seq as u64);
    }
    let (at, fixes) = input.sparse(count, |input, count| {
        let (lats, lons) = (input.integers(count)?, input.integers(count)?);
        Ok(lats.into_iter().zip(lons).collect())
    })?;
    for (at, (lat, lon)) in at.into_iter().zip(fixes) {
        let lat_e7 = i32::try_from(lat).map_err(|_| Damaged)?;
        let lon_e7 = i32::try_from(lon).map_err(|_| Damaged)?;
        readings[at].fix = Some(Fix { lat_e7, lon_e7, accuracy_m: None });
    }
    let (at, metres) = input.sparse(count, In::decimals)?;
    for (at, metres) in at.into_iter().zip(metres) {
        readings[at].fix.as_mut().ok_or(Damaged)?.accuracy_m = Some(metres as f32);
    }
    for _ in 0..input.whole()? {
        let measure = Measure::ALL.get(usize::from(input.byte()?)).ok_or(Damaged)?;
        let (at, values) = input.sparse(count, In::values)?;
        for (at, value) in at.into_iter().zip(values) {
            readings[at].measures.push((*measure, value));
        }
    }
    Ok(readings)
}

/// The time of the first reading of a chunk, without the rest; `None`: it has none.
pub(crate) fn first_ms(bytes: &[u8]) -> Result<Option<i64>, Damaged> {
    let mut input = In(bytes);
    Ok(match input.whole()? {
        0 => None,
        _ => Some(input.signed()?),
    })
}

/// The place in the list is part of the stored format; the list only grows at its end.
fn number(measure: Measure) -> u8 {
    measure as u8
}

struct Out(Vec<u8>);

impl Out {
    fn whole(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn signed(&mut self, number: i64) {
        self.whole((number.wrapping_shl(1) ^ (number >> 63)) as u64);
    }

    /// First value, then whether all are equal, else how and how they differ.
    fn integers(&mut self, numbers: impl Iterator<Item = i64> + Clone, steady: bool) {
        let Some(first) = numbers.clone().next() else {
            return;
        };
        self.signed(first);
        if numbers.clone().all(|number| number == first) {
            self.0.push(0);
            return;
        }
        self.0.push(if steady { 2 } else { 1 });
        let (mut last, mut step) = (first, 0_i64);
        for number in numbers.skip(1) {
            let difference = number.wrapping_sub(last);
            self.signed(difference.wrapping_sub(step));
            step = if steady { difference } else { 0 };
            last = number;
        }
    }

    /// Who has a value at all, then the values of those who do.
    fn sparse<'a, T>(
        &mut self,
        readings: &'a [Reading],
        value: impl Fn(&'a Reading) -> Option<T>,
        column: impl FnOnce(&mut Self, &[T]),
    ) {
        let values: Vec<T> = readings.iter().filter_map(&value).collect();
        if values.is_empty() || values.len() == readings.len() {
            self.0.push(u8::from(!values.is_empty()));
        } else {
            self.0.push(2);
            self.bits(readings.iter().map(|reading| value(reading).is_some()));
        }
        column(self, &values);
    }

    fn bits(&mut self, bits: impl Iterator<Item = bool>) {
        for (at, bit) in bits.enumerate() {
            if at % 8 == 0 {
                self.0.push(0);
            }
            if let (true, Some(byte)) = (bit, self.0.last_mut()) {
                *byte |= 1 << (at % 8);
            }
        }
    }

    /// Scaled to whole numbers if some power of ten makes all of them exact.
    fn decimals(&mut self, numbers: &[f64]) {
        let scale = (0..=7_u8).find(|scale| numbers.iter().all(|n| scaled(*n, *scale).is_some()));
        match scale {
            Some(scale) => {
                self.0.push(scale);
                let scaled: Vec<i64> = numbers.iter().filter_map(|n| scaled(*n, scale)).collect();
                self.integers(scaled.iter().copied(), false);
            }
            None => {
                self.0.push(u8::MAX);
                numbers.iter().for_each(|n| self.0.extend_from_slice(&n.to_bits().to_le_bytes()));
            }
        }
    }

    /// A measure has one shape, but a journal may hold readings from before it changed: columns
    /// of mixed values are kept, value by value.
    fn values(&mut self, values: &[&Value]) {
        let numbers: Vec<f64> = values
            .iter()
            .filter_map(|value| if let Value::Number(n) = value { Some(*n) } else { None })
            .collect();
        if numbers.len() == values.len() {
            self.0.push(0);
            self.decimals(&numbers);
            return;
        }
        // Words and flags repeat: runs of equal values.
        self.0.push(1);
        for run in values.chunk_by(|a, b| a == b) {
            self.whole(run.len() as u64);
            match run[0] {
                Value::Number(n) => {
                    self.0.push(0);
                    self.0.extend_from_slice(&n.to_bits().to_le_bytes());
                }
                Value::Flag(flag) => self.0.extend([1, u8::from(*flag)]),
                Value::Choice(choice) => self.0.extend([2, *choice]),
                Value::Text(text) => {
                    self.0.push(3);
                    self.whole(text.len() as u64);
                    self.0.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// The decimal that somebody wrote and `f32` rounded: 4.1, not 4.09999990463.
fn as_written(number: f32) -> f64 {
    let written = (f64::from(number) * 1e3).round() / 1e3;
    if (written as f32).to_bits() == number.to_bits() { written } else { f64::from(number) }
}

fn scaled(number: f64, scale: u8) -> Option<i64> {
    let factor = 10_f64.powi(i32::from(scale));
    let whole = (number * factor).round();
    // Up to 2^53 every whole number is exact.
    let stored = whole as i64;
    let exact = whole.abs() < 9e15 && (stored as f64 / factor).to_bits() == number.to_bits();
    exact.then_some(stored)
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn whole(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        let number = self.whole()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn bits64(&mut self) -> Result<f64, Damaged> {
        let bytes = self.take(8)?.try_into().map_err(|_| Damaged)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    fn integers(&mut self, count: usize) -> Result<Vec<i64>, Damaged> {
        if count == 0 {
            return Ok(Vec::new());
        }
        // Bytes that are damaged and yet have the right checksum must not fill the memory.
        if count > 1 << 20 {
            return Err(Damaged);
        }
        let first = self.signed()?;
        let mode = self.byte()?;
        if mode == 0 {
            return Ok(vec![first; count]);
        }
        let mut numbers = Vec::with_capacity(count);
        numbers.push(first);
        let (mut last, mut step) = (first, 0_i64);
        for _ in 1..count {
            let difference = self.signed()?.wrapping_add(step);
            step = if mode == 2 { difference } else { 0 };
            last = last.wrapping_add(difference);
            numbers.push(last);
        }
        Ok(numbers)
    }

    /// The places that have a value, and the values.
    fn sparse<T>(
        &mut self,
        count: usize,
        column: impl FnOnce(&mut Self, usize) -> Result<Vec<T>, Damaged>,
    ) -> Result<(Vec<usize>, Vec<T>), Damaged> {
        let at: Vec<usize> = match self.byte()? {
            0 => Vec::new(),
            1 => (0..count).collect(),
            _ => {
                let bits = self.take(count.div_ceil(8))?;
                (0..count).filter(|at| bits[at / 8] >> (at % 8) & 1 == 1).collect()
            }
        };
        let values = column(self, at.len())?;
        if values.len() == at.len() { Ok((at, values)) } else { Err(Damaged) }
    }

    fn decimals(&mut self, count: usize) -> Result<Vec<f64>, Damaged> {
        match self.byte()? {
            u8::MAX => (0..count).map(|_| self.bits64()).collect(),
            scale => {
                let factor = 10_f64.powi(i32::from(scale));
                Ok(self.integers(count)?.into_iter().map(|whole| whole as f64 / factor).collect())
            }
        }
    }

    fn values(&mut self, count: usize) -> Result<Vec<Value>, Damaged> {
        if self.byte()? == 0 {
            return Ok(self.decimals(count)?.into_iter().map(Value::Number).collect());
        }
        let mut values = Vec::new();
        while values.len() < count {
            let run = usize::try_from(self.whole()?).map_err(|_| Damaged)?;
            let value = match self.byte()? {
                0 => Value::Number(self.bits64()?),
                1 => Value::Flag(self.byte()? != 0),
                2 => Value::Choice(self.byte()?),
                _ => {
                    let length = usize::try_from(self.whole()?).map_err(|_| Damaged)?;
                    let text = std::str::from_utf8(self.take(length)?).map_err(|_| Damaged)?;
                    Value::Text(text.into())
                }
            };
            if run == 0 || run > count - values.len() {
                return Err(Damaged);
            }
            values.extend(std::iter::repeat_n(value, run));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::{Damaged, open, seal};
    use ingest::{Fix, Measure, Reading, Value};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = (Measure, Value)> {
        let number = prop_oneof![
            (-10_000_i32..10_000).prop_map(|n| f64::from(n) / 100.0),
            Just(-0.0),
            any::<f64>().prop_filter("finite", |n| n.is_finite()),
        ];
        prop_oneof![
            (prop_oneof![Just(Measure::SpeedMps), Just(Measure::IndoorC)], number)
                .prop_map(|(measure, n)| (measure, Value::Number(n))),
            any::<bool>().prop_map(|flag| (Measure::Ignition, Value::Flag(flag))),
            (0..3_u8).prop_map(|choice| (Measure::Tyre, Value::Choice(choice))),
            "[a-zé]{0,9}".prop_map(|text| (Measure::Fault, Value::Text(text.into()))),
        ]
    }

    fn reading() -> impl Strategy<Value = Reading> {
        let accuracy = proptest::option::of((0_u16..60_000).prop_map(|dm| f32::from(dm) / 10.0));
        let fix = (-900_000_000..=900_000_000, -1_800_000_000..=1_800_000_000, accuracy)
            .prop_map(|(lat_e7, lon_e7, accuracy_m)| Fix { lat_e7, lon_e7, accuracy_m });
        let measures = proptest::collection::vec(value(), 0..4).prop_map(|mut measures| {
            measures.sort_by_key(|(measure, _)| *measure);
            measures.dedup_by_key(|(measure, _)| *measure);
            measures
        });
        (any::<i64>(), proptest::option::of(any::<u64>()), proptest::option::of(fix), measures)
            .prop_map(|(time_ms, seq, fix, measures)| Reading { time_ms, seq, fix, measures })
    }

    proptest! {
        #[test]
        fn what_is_sealed_comes_out_to_the_bit(readings in proptest::collection::vec(reading(), 0..40)) {
            let opened = open(&seal(&readings)).unwrap();
            prop_assert_eq!(opened.len(), readings.len());
            for (opened, reading) in opened.iter().zip(&readings) {
                prop_assert_eq!(opened.history_order(reading), std::cmp::Ordering::Equal);
            }
        }

        #[test]
        fn damage_is_noticed(readings in proptest::collection::vec(reading(), 1..9), at: prop::sample::Index, bit in 0..8_u8) {
            let mut bytes = seal(&readings);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(open(&bytes), Err(Damaged));
        }
    }

    #[test]
    fn a_car_at_one_hertz_takes_at_most_twenty_bytes_a_reading() {
        let readings: Vec<Reading> = (0..60_i32)
            .map(|second| Reading {
                time_ms: 1_760_000_000_000 + i64::from(second) * 1_000,
                seq: Some(second as u64),
                fix: Some(Fix {
                    lat_e7: 520_000_000 + second * 1_700 + second % 7 * 31,
                    lon_e7: 51_000_000 + second * 2_300 - second % 5 * 17,
                    accuracy_m: Some([4.0, 5.5, 4.5][second as usize % 3]),
                }),
                measures: vec![
                    (Measure::SpeedMps, Value::Number(f64::from(250 + second % 9) / 10.0)),
                    (Measure::OdometerM, Value::Number(f64::from(18_230_000 + second * 25))),
                    (Measure::AccelerationMps2, Value::Number(f64::from(second % 11 - 5) / 10.0)),
                    (Measure::Tyre, Value::Choice(1)),
                    (Measure::AmbientC, Value::Number(3.5)),
                ],
            })
            .collect();
        let bytes = seal(&readings).len();
        assert!(bytes <= 20 * readings.len(), "{bytes} bytes");
    }
}
