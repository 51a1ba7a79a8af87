"""Words for the titles of a sample: categories of an imaginary magazine, their topics, and templates."""

from __future__ import annotations

# A category with the templates of its titles, and below it a line per topic: six subjects each. Readers have favourite
# topics. {s} is the subject, {S} the subject with a capital.
_MAGAZINE = """
Cooking|{S} for a Tuesday night|The only recipe for {s} you need|{S} without the fuss|Six mistakes with {s}
  sourdough; cinnamon buns; rye bread; lemon tart; focaccia; croissants
  mushroom risotto; cacio e pepe; gnocchi; lasagne; ravioli; carbonara
  lentil stew; pumpkin soup; chickpea curry; leek gratin; roast aubergine; pickled cabbage
  ramen; dumplings; kimchi; green curry; bibimbap; miso aubergine
Football|How {s} came back into fashion|{S}: one season, week by week|The numbers behind {s}|Why managers fear {s}
  the back three; the false nine; the high press; zonal marking; the long throw; the offside trap
  the cup draw; extra time; the penalty shoot-out; the away goal; cup giants; the replay
  youth academies; the loan system; deadline day; agents' fees; release clauses; free transfers
  the women's league; the derby; the relegation battle; the title race; the new stadium; away fans
Climate|What {s} will cost us|{S}: what the new figures say|The people watching {s}|Ten years of {s}
  offshore wind; rooftop solar; grid batteries; heat pumps; tidal power; geothermal wells
  melting glaciers; sea ice; permafrost; the Greenland ice sheet; polar nights; ice cores
  city heat; river floods; coastal walls; wildfire smoke; drought; storm surges
  carbon prices; the climate summit; green bonds; methane pledges; carbon removal; net zero
Chess|How grandmasters think about {s}|{S} in five instructive games|Learning to love {s}|A trap hidden in {s}
  the Sicilian Defence; the Queen's Gambit; the Caro-Kann; the Ruy Lopez; the King's Indian; the London System
  rook endings; opposite bishops; the outside passed pawn; zugzwang; king activity; the Lucena position
  the candidates' tournament; the world title match; the olympiad; rapid play; juniors; club nights
  the knight sacrifice; the windmill; pins and skewers; the smothered mate; the quiet move; the Greek gift
Film|Twelve essential titles: {s}|How {s} changed the cinema|{S}, frame by frame|The directors who loved {s}
  film noir; the femme fatale; the detective story; the heist film; the unreliable narrator; neon and rain
  hand-drawn animation; stop motion; the animated feature; puppetry; anime classics; short animation
  the space opera; time travel on screen; robot stories; the dystopia; alien encounters; practical effects
  the documentary; direct cinema; archive footage; the essay film; nature films; the concert film
Music|Ten recordings: {s}|Listening closely to {s}|{S}, from the first bar|The players who reinvented {s}
  the string quartet; late Beethoven; the cello suites; the symphony; baroque tuning; the song cycle
  modal jazz; the walking bass; brushed drums; the jazz trio; improvisation; the muted trumpet
  modular synths; ambient music; the drum machine; techno in Detroit; tape loops; dub
  the folk revival; the fiddle tune; close harmony; the murder ballad; the banjo; sea shanties
Travel|Notes from a slow trip: {s}|{S} out of season|A postcard: {s}|{S} on a small budget
  the night train; the branch line; sleeper cars; the mountain railway; station cafes; the rail pass
  the Azores; the Hebrides; the Cyclades; Madeira; the Lofoten islands; the Faroes
  the hut-to-hut walk; the coastal path; alpine passes; the pilgrim route; wild camping; the long ridge
  Lisbon; Kyoto; Trieste; Istanbul; Porto; Valparaiso
Gardening|{S}, month by month|Making room for {s}|What slugs think of {s}|{S} for the impatient
  early potatoes; raised beds; runner beans; the kitchen garden; winter salads; heirloom tomatoes
  old roses; dahlias; the cutting garden; spring bulbs; foxgloves; sweet peas
  compost; leaf mould; no-dig beds; worm farms; green manure; heavy clay
  the balcony garden; house ferns; orchids; succulents; window boxes; bonsai
Science|The strange case of {s}|{S}: the experiment that surprised everyone|Field notes on {s}|A short history of {s}
  black holes; exoplanets; dark matter; gravitational waves; the oldest galaxies; neutron stars
  octopus minds; bird migration; the language of bees; whale song; ant colonies; slime moulds
  gene editing; protein folding; ancient DNA; the cell's clock; gut bacteria; stem cells
  quantum bits; superconductors; the standard model; cold atoms; fusion plasma; neutrinos
Health|What doctors say about {s}|{S}: the evidence so far|A month of {s}, a diary|The myths around {s}
  deep sleep; the afternoon nap; night shifts; jet lag; dreaming; the early alarm
  strength training; the daily walk; stretching; back pain; balance exercises; interval training
  the Mediterranean diet; dietary fibre; salt; fermented food; vitamin D; the late dinner
  burnout; mindful breathing; loneliness; talking therapy; screen fatigue; small habits
Money|{S}, in plain numbers|Should you worry about {s}?|What {s} means for you|A sceptic looks at {s}
  the first pension; index funds; compound interest; dividend shares; the rainy-day fund; bond ladders
  the fixed mortgage; renting for life; the first flat; house prices; shared ownership; the survey
  inflation; the central bank; interest rates; the yield curve; exchange rates; trade deficits
  the weekly budget; student loans; credit scores; the tax return; second-hand cars; wedding costs
Technology|We lived with {s} for a month|{S}: a field report|Who pays for {s}?|The people behind {s}
  language models; face search; recommender systems; driverless cars; machine translation; synthetic speech
  password managers; the data breach; end-to-end encryption; phishing; browser cookies; passkeys
  mechanical keyboards; e-readers; the folding phone; noise cancelling; smart watches; old laptops
  open source; code review; legacy systems; the command line; version control; the rewrite
Books|Where to start with {s}|Rereading {s}|{S}: a reader's map|Five writers on {s}
  the locked room; the cosy crime novel; Nordic noir; the poisoned vicar; spy fiction; amateur sleuths
  the Russian novel; Middlemarch; the epistolary novel; Proust; the Victorian serial; Jane Austen
  the prose poem; the sonnet; haiku; the long poem; poetry in translation; war poetry
  the fantasy trilogy; first contact; the generation ship; magic systems; alternate history; climate fiction
Cycling|In praise of {s}|{S}, tested on wet roads|The mechanics of {s}|Confessions about {s}
  the mountain stage; the time trial; the bunch sprint; the breakaway; the cobbled classic; the yellow jersey
  gravel bikes; the steel frame; tubeless tyres; disc brakes; the dropper post; chain wax
  bikepacking; the dynamo light; the thousand-kilometre brevet; panniers; the cycle ferry; the canal towpath
  bike lanes; the cargo bike; the school run by bike; bike theft; the e-bike; commuting in winter
Architecture|Living with {s}|{S}: loved, hated, listed|A walk around {s}|Who still builds like this? On {s}
  brutalism; concrete towers; the housing estate; the car-park ramp; the university campus; raw concrete
  the timber tower; straw-bale walls; the passive house; green roofs; rammed earth; reused brick
  Gothic vaults; the flying buttress; the cathedral spire; stained glass; the cloister; the stonemason's yard
  the tiny house; the courtyard home; loft conversions; the kitchen extension; the beach hut; garden rooms
History|The forgotten story of {s}|{S} in seven objects|Letters from the time of {s}|New light on {s}
  the Roman road; Pompeii; the legions; the aqueduct; Hadrian's Wall; the Roman kitchen
  the silk road; the spice trade; the Hanseatic League; the tea clippers; the salt tax; Venice's arsenal
  Viking longships; monastery scribes; the black death; the village fair; Domesday; crusader castles
  the code breakers; the Berlin airlift; the space race; the home front; the hotline; the suffragettes
"""
_GENERAL = "The quiet return of {s}|What we get wrong about {s}|{S}, explained|A beginner's guide to {s}"
# For catalogues larger than subjects times templates.
_ENDINGS = (
    "our readers reply|ten years later|the long read|an interview|a podcast|the sceptic's view|"
    "pictures of the week|questions and answers|a day in the field"
)
_WARES = "mug|poster|tea towel|notebook|tote bag|jigsaw|calendar|T-shirt"

TOPICS: dict[str, list[list[str]]] = {}  # by category, the subjects of each topic
_TEMPLATES: dict[str, list[str]] = {}
_category = ""
for _line in _MAGAZINE.strip().splitlines():
    if _line.startswith(" "):
        TOPICS[_category].append(_line.strip().split("; "))
    else:
        _category, *_templates = f"{_line}|{_GENERAL}".split("|")
        TOPICS[_category], _TEMPLATES[_category] = [], _templates


def title(category: str, topic: int, number: int) -> str:
    """Return title 0, 1, 2, ... of a topic; no two titles of any categories, topics and numbers are equal."""
    subjects, templates = TOPICS[category][topic], _TEMPLATES[category]
    # 6 subjects and 8 templates: the subject changes fastest, and each round of six shifts the templates.
    round_, position = divmod(number, len(subjects) * len(templates))
    turn, nth = divmod(position, len(subjects))
    subject, template = subjects[nth], templates[(turn + 3 * nth + topic) % len(templates)]
    text = template.format(s=subject, S=subject[0].upper() + subject[1:])
    endings = ["", *(f": {ending}" for ending in _ENDINGS.split("|"))]
    part, ending = divmod(round_, len(endings))
    return text + endings[ending] + (f", part {part + 1}" if part else "")


def product(category: str, topic: int, number: int) -> str:
    """Return the name of product 0, 1, 2, ... of a topic, such as "Sourdough mug"; no two names are equal."""
    subjects, wares = TOPICS[category][topic], _WARES.split("|")
    round_, nth = divmod(number, len(subjects))
    edition, ware = divmod(round_, len(wares))
    name = f"{subjects[nth][0].upper()}{subjects[nth][1:]} {wares[(ware + nth) % len(wares)]}"
    return name + (f", edition {edition + 1}" if edition else "")
