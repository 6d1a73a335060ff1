//! The towns, motorway waypoints and border points that the simulated roads connect.
//!
//! Well-known public coordinates, written down by hand. A stretch between two neighbours is a
//! straight line: good to a few hundred metres on the motorway stretches next to a border, to some
//! kilometres between far-apart towns. Every stretch stays inside one country, and a country
//! changes only at a node of [`Country::Border`].

/// Where a node lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Country {
    At,
    Be,
    Ch,
    Cz,
    De,
    Dk,
    Fr,
    It,
    Lu,
    Nl,
    Pl,
    /// On the border itself.
    Border,
}

impl Country {
    /// ISO 3166-1 alpha-2.
    #[must_use]
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::At => "AT",
            Self::Be => "BE",
            Self::Ch => "CH",
            Self::Cz => "CZ",
            Self::De => "DE",
            Self::Dk => "DK",
            Self::Fr => "FR",
            Self::It => "IT",
            Self::Lu => "LU",
            Self::Nl => "NL",
            Self::Pl => "PL",
            Self::Border => "",
        }
    }
}

/// A place that roads meet at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) country: Country,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    /// Above the sea, in metres.
    pub(crate) altitude_m: f64,
}

const fn at(name: &'static str, country: Country, lat: f64, lon: f64, altitude_m: f64) -> Place {
    Place { name, country, lat, lon, altitude_m }
}

use Country::{At, Be, Border, Ch, Cz, De, Dk, Fr, It, Lu, Nl, Pl};

pub(crate) const PLACES: &[Place] = &[
    // Rhine and Maas.
    at("Utrecht", Nl, 52.0907, 5.1214, 5.0),
    at("Eindhoven", Nl, 51.4416, 5.4697, 17.0),
    at("Venlo", Nl, 51.3704, 6.1724, 20.0),
    at("Venlo A67", Nl, 51.3850, 6.1500, 20.0),
    at("Venlo border", Border, 51.40591, 6.20703, 25.0),
    at("Straelen A40", De, 51.4400, 6.3000, 32.0),
    at("Duisburg", De, 51.4344, 6.7623, 31.0),
    at("Köln", De, 50.9375, 6.9603, 53.0),
    at("Roermond", Nl, 51.1942, 5.9875, 20.0),
    at("Maastricht", Nl, 50.8514, 5.6910, 49.0),
    at("Heerlen", Nl, 50.8882, 5.9795, 115.0),
    at("Bocholtz A76", Nl, 50.8500, 6.0000, 150.0),
    at("Vetschau border", Border, 50.82248, 6.02447, 190.0),
    at("Laurensberg A4", De, 50.8050, 6.0400, 185.0),
    at("Aachen", De, 50.7753, 6.0839, 173.0),
    at("Vaals", Nl, 50.7700, 6.0150, 200.0),
    at("Vaals border", Border, 50.77075, 6.02476, 200.0),
    at("Hengelo", Nl, 52.2659, 6.7931, 20.0),
    at("De Lutte A1", Nl, 52.3050, 6.9850, 35.0),
    at("Bentheim border", Border, 52.30685, 7.03864, 40.0),
    at("Bad Bentheim A30", De, 52.3100, 7.1300, 45.0),
    at("Osnabrück", De, 52.2799, 8.0472, 63.0),
    at("Breda", Nl, 51.5719, 4.7683, 3.0),
    at("Breda A16", Nl, 51.5400, 4.7450, 5.0),
    at("Hazeldonk border", Border, 51.48671, 4.73773, 10.0),
    at("Hoogstraten E19", Be, 51.4300, 4.7300, 15.0),
    at("Antwerpen", Be, 51.2194, 4.4025, 8.0),
    at("Gent", Be, 51.0543, 3.7174, 8.0),
    at("Kortrijk", Be, 50.8280, 3.2649, 18.0),
    at("Rekkem border", Border, 50.76797, 3.16471, 35.0),
    at("Lille", Fr, 50.6292, 3.0573, 25.0),
    at("Liège", Be, 50.6326, 5.5797, 66.0),
    // Saar, Mosel and upper Rhine.
    at("Luxembourg", Lu, 49.6116, 6.1319, 280.0),
    at("Bettembourg A3", Lu, 49.5200, 6.1050, 275.0),
    at("Dudelange border", Border, 49.47126, 6.11718, 260.0),
    at("Thionville A31", Fr, 49.4200, 6.1300, 200.0),
    at("Metz", Fr, 49.1193, 6.1757, 173.0),
    at("Saint-Avold", Fr, 49.1040, 6.7080, 260.0),
    at("Forbach A320", Fr, 49.1700, 6.9000, 220.0),
    at("Goldene Bremm border", Border, 49.20885, 6.94995, 230.0),
    at("Saarbrücken", De, 49.2402, 6.9900, 200.0),
    at("Kaiserslautern", De, 49.4401, 7.7491, 251.0),
    at("Karlsruhe", De, 49.0069, 8.4037, 115.0),
    at("Strasbourg", Fr, 48.5734, 7.7521, 142.0),
    at("Kehl border", Border, 48.56798, 7.80386, 138.0),
    at("Kehl B28", De, 48.5600, 7.8800, 140.0),
    at("Offenburg", De, 48.4735, 7.9440, 163.0),
    at("Freiburg", De, 47.9990, 7.8421, 278.0),
    at("Basel", Ch, 47.5350, 7.6000, 260.0),
    at("Rheinfelden CH", Ch, 47.5200, 7.7700, 290.0),
    at("Rheinfelden border", Border, 47.5531, 7.78241, 265.0),
    at("Rheinfelden DE", De, 47.6000, 7.8000, 330.0),
    at("Zürich", Ch, 47.3769, 8.5417, 408.0),
    // Alps.
    at("Augsburg", De, 48.3705, 10.8978, 494.0),
    at("München", De, 48.1372, 11.5756, 519.0),
    at("Rosenheim", De, 47.8561, 12.1250, 447.0),
    at("Brannenburg A93", De, 47.7400, 12.1100, 470.0),
    at("Oberaudorf A93", De, 47.6600, 12.1750, 480.0),
    at("Kiefersfelden border", Border, 47.61323, 12.16331, 485.0),
    at("Kufstein", At, 47.5600, 12.1500, 499.0),
    at("Wörgl", At, 47.4890, 12.0640, 511.0),
    at("Innsbruck", At, 47.2692, 11.4041, 574.0),
    at("Steinach A13", At, 47.0900, 11.4700, 1050.0),
    at("Gries A13", At, 47.0400, 11.4900, 1250.0),
    at("Brenner border", Border, 47.01089, 11.48272, 1374.0),
    at("Brennerbad A22", It, 46.9600, 11.4700, 1300.0),
    at("Sterzing", It, 46.8970, 11.4330, 948.0),
    at("Bozen", It, 46.4983, 11.3548, 262.0),
    at("Traunstein A8", De, 47.8300, 12.6400, 600.0),
    at("Piding A8", De, 47.8000, 12.8900, 455.0),
    at("Walserberg border", Border, 47.80273, 12.96649, 460.0),
    at("Salzburg", At, 47.8050, 13.0300, 425.0),
    at("Linz", At, 48.3069, 14.2858, 266.0),
    // East and north.
    at("Nürnberg", De, 49.4521, 11.0767, 309.0),
    at("Waidhaus A6", De, 49.6300, 12.4400, 530.0),
    at("Rozvadov border", Border, 49.64317, 12.51901, 520.0),
    at("Rozvadov D5", Cz, 49.6600, 12.6200, 540.0),
    at("Plzeň", Cz, 49.7384, 13.3736, 310.0),
    at("Praha", Cz, 50.0755, 14.4378, 200.0),
    at("Dresden", De, 51.0504, 13.7373, 113.0),
    at("Bautzen", De, 51.1814, 14.4240, 204.0),
    at("Görlitz A4", De, 51.1900, 14.9200, 210.0),
    at("Görlitz border", Border, 51.19220, 15.00798, 185.0),
    at("Zgorzelec A4", Pl, 51.1950, 15.1200, 205.0),
    at("Legnica", Pl, 51.2070, 16.1550, 120.0),
    at("Wrocław", Pl, 51.1079, 17.0385, 120.0),
    at("Berlin", De, 52.5200, 13.4050, 34.0),
    at("Müllrose A12", De, 52.3000, 14.4800, 60.0),
    at("Świecko border", Border, 52.31016, 14.58156, 25.0),
    at("Rzepin A2", Pl, 52.3200, 14.6800, 60.0),
    at("Świebodzin", Pl, 52.2475, 15.5330, 95.0),
    at("Poznań", Pl, 52.4064, 16.9252, 60.0),
    at("Hamburg", De, 53.5511, 9.9937, 6.0),
    at("Flensburg A7", De, 54.7800, 9.3300, 40.0),
    at("Padborg border", Border, 54.80296, 9.33459, 40.0),
    at("Padborg E45", Dk, 54.8800, 9.3500, 40.0),
    at("Kolding", Dk, 55.4904, 9.4722, 20.0),
];

/// What kind of road a stretch is, which says how fast it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    Motorway,
    Rural,
    Town,
}

impl Road {
    /// The speed that an average driver keeps on an empty road, in m/s.
    #[must_use]
    pub(crate) fn speed_mps(self) -> f64 {
        match self {
            Self::Motorway => 36.1,
            Self::Rural => 25.0,
            Self::Town => 13.9,
        }
    }
}

use Road::{Motorway, Rural, Town};

pub(crate) const ROADS: &[(&str, &str, Road)] = &[
    ("Utrecht", "Eindhoven", Motorway),
    ("Utrecht", "Breda", Motorway),
    ("Utrecht", "Hengelo", Motorway),
    ("Eindhoven", "Venlo A67", Motorway),
    ("Eindhoven", "Roermond", Motorway),
    ("Venlo", "Venlo A67", Town),
    ("Venlo", "Roermond", Rural),
    ("Venlo A67", "Venlo border", Motorway),
    ("Venlo border", "Straelen A40", Motorway),
    ("Straelen A40", "Duisburg", Motorway),
    ("Duisburg", "Köln", Motorway),
    ("Roermond", "Maastricht", Motorway),
    ("Maastricht", "Heerlen", Motorway),
    ("Heerlen", "Bocholtz A76", Motorway),
    ("Maastricht", "Vaals", Rural),
    ("Vaals", "Vaals border", Town),
    ("Vaals border", "Aachen", Town),
    ("Bocholtz A76", "Vetschau border", Motorway),
    ("Vetschau border", "Laurensberg A4", Motorway),
    ("Laurensberg A4", "Aachen", Town),
    ("Aachen", "Köln", Motorway),
    ("Hengelo", "De Lutte A1", Motorway),
    ("De Lutte A1", "Bentheim border", Motorway),
    ("Bentheim border", "Bad Bentheim A30", Motorway),
    ("Bad Bentheim A30", "Osnabrück", Motorway),
    ("Osnabrück", "Duisburg", Motorway),
    ("Osnabrück", "Hamburg", Motorway),
    ("Breda", "Breda A16", Rural),
    ("Breda A16", "Hazeldonk border", Motorway),
    ("Hazeldonk border", "Hoogstraten E19", Motorway),
    ("Hoogstraten E19", "Antwerpen", Motorway),
    ("Antwerpen", "Gent", Motorway),
    ("Antwerpen", "Liège", Motorway),
    ("Gent", "Kortrijk", Motorway),
    ("Kortrijk", "Rekkem border", Motorway),
    ("Rekkem border", "Lille", Motorway),
    ("Luxembourg", "Bettembourg A3", Motorway),
    ("Bettembourg A3", "Dudelange border", Motorway),
    ("Dudelange border", "Thionville A31", Motorway),
    ("Thionville A31", "Metz", Motorway),
    ("Metz", "Saint-Avold", Motorway),
    ("Saint-Avold", "Forbach A320", Motorway),
    ("Metz", "Strasbourg", Motorway),
    ("Forbach A320", "Goldene Bremm border", Motorway),
    ("Goldene Bremm border", "Saarbrücken", Motorway),
    ("Saarbrücken", "Kaiserslautern", Motorway),
    ("Kaiserslautern", "Karlsruhe", Motorway),
    ("Karlsruhe", "Offenburg", Motorway),
    ("Strasbourg", "Kehl border", Rural),
    ("Kehl border", "Kehl B28", Rural),
    ("Kehl B28", "Offenburg", Rural),
    ("Offenburg", "Freiburg", Motorway),
    ("Basel", "Rheinfelden CH", Motorway),
    ("Rheinfelden CH", "Rheinfelden border", Motorway),
    ("Rheinfelden border", "Rheinfelden DE", Motorway),
    ("Rheinfelden DE", "Freiburg", Rural),
    ("Rheinfelden CH", "Zürich", Motorway),
    ("Karlsruhe", "Augsburg", Motorway),
    ("Augsburg", "München", Motorway),
    ("München", "Rosenheim", Motorway),
    ("München", "Nürnberg", Motorway),
    ("Rosenheim", "Brannenburg A93", Motorway),
    ("Brannenburg A93", "Oberaudorf A93", Motorway),
    ("Rosenheim", "Traunstein A8", Motorway),
    ("Oberaudorf A93", "Kiefersfelden border", Motorway),
    ("Kiefersfelden border", "Kufstein", Motorway),
    ("Kufstein", "Wörgl", Motorway),
    ("Wörgl", "Innsbruck", Motorway),
    ("Innsbruck", "Steinach A13", Motorway),
    ("Steinach A13", "Gries A13", Motorway),
    ("Gries A13", "Brenner border", Motorway),
    ("Brenner border", "Brennerbad A22", Motorway),
    ("Brennerbad A22", "Sterzing", Motorway),
    ("Sterzing", "Bozen", Motorway),
    ("Traunstein A8", "Piding A8", Motorway),
    ("Piding A8", "Walserberg border", Motorway),
    ("Walserberg border", "Salzburg", Motorway),
    ("Salzburg", "Linz", Motorway),
    ("Nürnberg", "Waidhaus A6", Motorway),
    ("Waidhaus A6", "Rozvadov border", Motorway),
    ("Rozvadov border", "Rozvadov D5", Motorway),
    ("Rozvadov D5", "Plzeň", Motorway),
    ("Plzeň", "Praha", Motorway),
    ("Nürnberg", "Augsburg", Motorway),
    ("Dresden", "Bautzen", Motorway),
    ("Dresden", "Berlin", Motorway),
    ("Bautzen", "Görlitz A4", Motorway),
    ("Görlitz A4", "Görlitz border", Motorway),
    ("Görlitz border", "Zgorzelec A4", Motorway),
    ("Zgorzelec A4", "Legnica", Motorway),
    ("Legnica", "Wrocław", Motorway),
    ("Legnica", "Świebodzin", Rural),
    ("Berlin", "Müllrose A12", Motorway),
    ("Berlin", "Hamburg", Motorway),
    ("Müllrose A12", "Świecko border", Motorway),
    ("Świecko border", "Rzepin A2", Motorway),
    ("Rzepin A2", "Świebodzin", Motorway),
    ("Świebodzin", "Poznań", Motorway),
    ("Hamburg", "Flensburg A7", Motorway),
    ("Flensburg A7", "Padborg border", Motorway),
    ("Padborg border", "Padborg E45", Motorway),
    ("Padborg E45", "Kolding", Motorway),
];
