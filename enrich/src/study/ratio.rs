//! The rate ratio over strata: Mantel and Haenszel's for person-time data, with the variance of
//! Greenland and Robins (Biometrics 41, 1985); see Rothman and Greenland, Modern Epidemiology,
//! "Introduction to stratified analysis". Here kilometres take the place of time.

use serde::Serialize;

/// The standard normal's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

/// Two groups under the same circumstances.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stratum {
    pub exposed: u64,
    pub exposed_time: f64,
    pub unexposed: u64,
    pub unexposed_time: f64,
}

/// How many times the rate of one group is that of the other, with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

impl Ratio {
    #[must_use]
    pub fn covers(&self, ratio: f64) -> bool {
        (self.low..=self.high).contains(&ratio)
    }
}

/// `None` when either group has no events in any stratum in which both had any time.
#[must_use]
pub fn ratio(strata: &[Stratum]) -> Option<Ratio> {
    let (mut exposed, mut unexposed, mut variance) = (0.0, 0.0, 0.0);
    for stratum in strata {
        let (n1, n0) = (stratum.exposed_time, stratum.unexposed_time);
        // A road that only one of them drove on compares nothing.
        if n1 <= 0.0 || n0 <= 0.0 {
            continue;
        }
        let all = n1 + n0;
        let (a, b) = (stratum.exposed as f64, stratum.unexposed as f64);
        exposed += a * n0 / all;
        unexposed += b * n1 / all;
        variance += (a + b) * n1 * n0 / (all * all);
    }
    if exposed <= 0.0 || unexposed <= 0.0 {
        return None;
    }
    let ratio = exposed / unexposed;
    let error = (variance / (exposed * unexposed)).sqrt();
    let factor = (Z * error).exp();
    Some(Ratio { ratio, low: ratio / factor, high: ratio * factor })
}
