//! Named aircraft: typical cabins of common types, so that a flight can be created with one word.
//! Never sets a fare: that is the sale's business.

use super::cabin::CabinClass;

/// A section of an aircraft: class, first and last row, layout.
pub type Section = (CabinClass, u16, u16, &'static str);

/// A type of aircraft as it can be named when a flight is created.
#[derive(Debug, Clone, Copy)]
pub struct Aircraft {
    /// The name, the ICAO type designator where there is one.
    pub name: &'static str,
    /// Its cabins from front to back.
    pub sections: &'static [Section],
}

use CabinClass::{Business, Economy, First, PremiumEconomy};

/// All templates. The layouts are typical ones of each type, not those of a certain airline.
pub const AIRCRAFT: &[Aircraft] = &[
    Aircraft { name: "AT76", sections: &[(Economy, 1, 18, "AC DF")] },
    Aircraft { name: "A320", sections: &[(Economy, 1, 30, "ABC DEF")] },
    Aircraft { name: "A321", sections: &[(Business, 1, 4, "AC DF"), (Economy, 5, 36, "ABC DEF")] },
    Aircraft { name: "B738", sections: &[(Business, 1, 3, "AC DF"), (Economy, 4, 30, "ABC DEF")] },
    Aircraft {
        name: "B789",
        sections: &[
            (Business, 1, 7, "A DG K"),
            (PremiumEconomy, 20, 23, "ABC DEF GHJ"),
            (Economy, 30, 54, "ABC DEF GHJ"),
        ],
    },
    Aircraft {
        name: "A359",
        sections: &[
            (Business, 1, 10, "A DG K"),
            (PremiumEconomy, 31, 33, "AC DEFG HK"),
            (Economy, 41, 67, "ABC DEF GHK"),
        ],
    },
    Aircraft {
        name: "B77W",
        sections: &[
            (First, 1, 2, "A DG K"),
            (Business, 5, 17, "A DG K"),
            (PremiumEconomy, 20, 23, "AC DEFG HK"),
            (Economy, 30, 58, "ABC DEFG HJK"),
        ],
    },
];

/// The template with this name.
pub fn aircraft(name: &str) -> Option<&'static Aircraft> {
    AIRCRAFT.iter().find(|aircraft| aircraft.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flight::cabin::{Cabin, Currency, Fare, Layout, check_cabins};

    #[test]
    fn every_template_makes_a_flight() {
        for template in AIRCRAFT {
            let fare = Fare { amount: 100, currency: Currency::new("EUR").unwrap() };
            let cabins: Vec<Cabin> = template
                .sections
                .iter()
                .map(|&(cabin_class, first_row, last_row, layout)| Cabin {
                    cabin_class,
                    first_row,
                    last_row,
                    layout: Layout::new(layout).unwrap(),
                    fare,
                })
                .collect();
            assert_eq!(check_cabins(&cabins), Ok(()), "{}", template.name);
        }
    }
}
