//! The outdoor temperature that devices feel. Rough climate of Europe, not a forecast.

use crate::geo::Position;

const DAY_MS: f64 = 86_400_000.0;

/// Outdoor temperature in °C: season, latitude, altitude, hour, and weeks that are warmer or
/// colder than usual.
#[must_use]
pub(crate) fn outdoor_c(at: Position, altitude_m: f64, now_ms: i64) -> f64 {
    use std::f64::consts::TAU;
    let days = now_ms as f64 / DAY_MS;
    let mean_c = 10.5 - (at.lat - 50.0) * 0.6 - altitude_m * 0.0065;
    // Coldest around 20 January, and in the day around 4 h.
    let season_c = -(9.0 + (at.lon - 8.0) * 0.15) * ((days - 19.0) / 365.25 * TAU).cos();
    let day_c = -3.5 * ((local_hour(at, now_ms) - 4.0) / 24.0 * TAU).cos();
    // Periods that share no multiple, and a phase that travels east as weather does.
    let spell_c = 2.5 * (days / 6.3 * TAU - at.lon * 0.12).sin()
        + 1.5 * (days / 17.1 * TAU - at.lon * 0.05).sin();
    mean_c + season_c + day_c + spell_c
}

/// The hour of the day by the sun, 0..24.
#[must_use]
pub(crate) fn local_hour(at: Position, now_ms: i64) -> f64 {
    (now_ms as f64 / DAY_MS * 24.0 + at.lon / 15.0).rem_euclid(24.0)
}

#[cfg(test)]
mod tests {
    use super::outdoor_c;
    use crate::geo::Position;

    #[test]
    fn winters_are_cold_summers_warm_and_passes_colder_than_valleys() {
        let kehl = Position::new(48.57, 7.8);
        let (january, july) = (1_768_867_200_000, 1_784_505_600_000);
        let mean = |altitude_m: f64, from_ms: i64| {
            let hours =
                (0..24 * 14).map(|hour| outdoor_c(kehl, altitude_m, from_ms + hour * 3_600_000));
            hours.sum::<f64>() / (24.0 * 14.0)
        };
        assert!((-4.0..6.0).contains(&mean(140.0, january)), "{}", mean(140.0, january));
        assert!((16.0..25.0).contains(&mean(140.0, july)), "{}", mean(140.0, july));
        assert!(mean(1_374.0, january) < mean(140.0, january) - 7.0);
    }
}
