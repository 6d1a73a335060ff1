//! Exact intervals of a Poisson count (Garwood, Biometrika 28, 1936): quantiles of the gamma
//! distribution, which are half those of chi-square.

/// Half of what a 95 % interval leaves out.
const TAIL: f64 = 0.025;

/// The exact 95 % interval of what is expected, where `count` was seen.
#[must_use]
pub fn interval(count: u64) -> (f64, f64) {
    let seen = count as f64;
    let low = if count == 0 { 0.0 } else { gamma_quantile(seen, TAIL) };
    (low, gamma_quantile(seen + 1.0, 1.0 - TAIL))
}

/// The value that a gamma variable of that shape stays below with that probability.
fn gamma_quantile(shape: f64, probability: f64) -> f64 {
    // Far beyond either tail that is asked for: mean and variance are both the shape.
    let (mut low, mut high) = (0.0, shape + 10.0 * shape.sqrt() + 20.0);
    // Each halves what is left: enough for all digits there are.
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle == low || middle == high {
            break;
        }
        match regularized_gamma(shape, middle) < probability {
            true => low = middle,
            false => high = middle,
        }
    }
    f64::midpoint(low, high)
}

/// The regularized lower incomplete gamma function P(a, x), for a, x > 0: by its series (DLMF
/// 8.11.4) left of the mean, and by the continued fraction of its complement (DLMF 8.9.2) right of it.
fn regularized_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    match x < a + 1.0 {
        true => scale * series(a, x),
        false => 1.0 - scale * fraction(a, x),
    }
}

/// Terms to go on for; large counts take about four times their square root.
const MOST_TERMS: u32 = 100_000;

fn series(a: f64, x: f64) -> f64 {
    let mut term = 1.0 / a;
    let mut sum = term;
    for n in 1..MOST_TERMS {
        term *= x / (a + f64::from(n));
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// By Lentz's method.
fn fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / away_from_zero(b);
    let mut value = d;
    for n in 1..MOST_TERMS {
        let n = f64::from(n);
        let an = n * (a - n);
        b += 2.0;
        d = 1.0 / away_from_zero(an * d + b);
        c = away_from_zero(b + an / c);
        value *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// The logarithm of the gamma function for x > 0: Stirling's series (DLMF 5.11.1) from 10 on, and the
/// recurrence below that.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let correction =
        inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + correction - below
}

#[cfg(test)]
mod tests {
    use super::{gamma_quantile, interval, ln_gamma};

    /// Garwood's limits as tables of them have them, to three decimals.
    #[test]
    fn intervals_are_those_of_the_tables() {
        for (count, low, high) in [
            (0, 0.0, 3.689),
            (1, 0.0253, 5.572),
            (2, 0.242, 7.225),
            (3, 0.619, 8.767),
            (5, 1.623, 11.668),
            (10, 4.795, 18.390),
            (20, 12.217, 30.888),
            (50, 37.111, 65.919),
            (100, 81.364, 121.627),
        ] {
            let (found_low, found_high) = interval(count);
            assert!((found_low - low).abs() < 6e-4, "{count}: {found_low} for {low}");
            assert!((found_high - high).abs() < 6e-4, "{count}: {found_high} for {high}");
        }
    }

    /// Half the quantiles of chi-square with ten degrees of freedom.
    #[test]
    fn quantiles_are_those_of_chi_square() {
        for (probability, chi_square) in [(0.025, 3.247), (0.5, 9.342), (0.975, 20.483)] {
            let found = 2.0 * gamma_quantile(5.0, probability);
            assert!((found - chi_square).abs() < 6e-4, "{found} for {chi_square}");
        }
    }

    #[test]
    fn the_gamma_function_is_that_of_factorials() {
        assert!((ln_gamma(5.0) - 24.0_f64.ln()).abs() < 1e-12);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-10);
        assert!((ln_gamma(171.0) - (1..=170).map(|n| f64::from(n).ln()).sum::<f64>()).abs() < 1e-9);
    }

    #[test]
    fn large_counts_have_the_interval_of_a_normal() {
        let (low, high) = interval(1_000_000);
        assert!((low - 998_040.5).abs() < 5.0 && (high - 1_001_961.0).abs() < 5.0, "{low} {high}");
    }
}
